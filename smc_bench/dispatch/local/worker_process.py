"""A persistent worker as the runner sees it: a process in a slot, with a cell or free."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from smc_bench.suite.cell import Cell


class WorkerProcess:
    """One process of :mod:`smc_bench.dispatch.worker.serve`.

    Attributes:
        slot: Which of the runner's slots it fills (with GPUs: which GPU it sees).
        cell: The cell that it has, or None while it is free.
        threads: Threads that the cell was given.
        asked: Whether it was asked to stop.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], log: Path, slot: int
    ) -> None:
        """Start the process; what it prints before its first cell goes to ``log``."""
        self.slot, self.threads = slot, 0
        self.cell: Cell | None = None
        self.asked = False
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                # A Ctrl-C at the terminal reaches only the runner, which then asks the workers.
                start_new_session=True,
            )

    def give(self, cell: Cell, threads: int) -> bool:
        """Hand it a cell; False if it has died meanwhile."""
        assert self.process.stdin is not None
        self.cell, self.threads = cell, threads
        line = json.dumps({"cell": cell.folder, "threads": threads}) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            return False
        return not self.gone

    def ended(self) -> int | None:
        """Exit code of the attempt at its cell (0 if it is free again), None while that runs."""
        code = self.process.poll()
        if code is not None:
            self._close()
            return code
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], 0)[0]:
            return None
        if self.process.stdout.readline():
            return 0
        return self._leave(10.0)  # its end of the pipe is closed: it is about to be gone

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def ask_to_stop(self) -> None:
        """Tell it to save and leave; after a signal it takes no more cells."""
        self.asked = True
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it has started, which are a process group of their own."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Tell it that there are no more cells for it."""
        self._close_requests()

    def stop(self, grace: float) -> None:
        """Let it leave, and kill it if it has not within ``grace`` seconds."""
        self.let_go()
        self._leave(grace)

    def _leave(self, grace: float) -> int:
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()
        finally:
            self._close()

    def _close_requests(self) -> None:
        with suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()

    def _close(self) -> None:
        self._close_requests()
        assert self.process.stdout is not None
        self.process.stdout.close()


def wait_for_any(workers: Iterable[WorkerProcess], seconds: float) -> None:
    """Wait until a worker says something or ends, but no longer than ``seconds``."""
    pipes = [w.process.stdout for w in workers if w.process.stdout and not w.process.stdout.closed]
    select.select(pipes, [], [], seconds)
