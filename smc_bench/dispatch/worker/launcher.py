"""The processes of one cell on one machine: how many, how they start, and how they end together.

``worker --processes 2`` becomes the launcher: it starts two workers with torchrun's variables,
passes signals on, and ends the rest soon after one has ended badly. It is not torchrun, which
answers SIGTERM by killing what has not left after 30 s and does not pass SIGUSR2 on: here all save
at one step first.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from types import FrameType

from smc_bench.dispatch.failures import failure_of_end
from smc_bench.dispatch.worker.command import DONE, FAILED, INTERRUPTED, WORKER, visible_gpus
from smc_bench.dispatch.worker.execution import read_fixed
from smc_bench.store.record import Failure
from smc_bench.store.store import CellFolder, now

_POLL_SECONDS = 0.2
# Who is left when another has ended badly is given so long: over gloo it notices and leaves word,
# over NCCL it would wait for minutes.
_LAST_WORDS_SECONDS = 30.0
# Less than what a pool gives a worker to save before it kills it.
_SAVE_SECONDS = 100.0
_log = logging.getLogger(__name__)
_TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


def launched() -> int:
    """Processes that torchrun, accelerate, MPI or :class:`ProcessGroup` started; 1 if none did."""
    names = ["OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE"]
    if "RANK" in os.environ:
        names.append("WORLD_SIZE")
    return max(int(os.environ.get(name) or 1) for name in names)


def size(folder: CellFolder, asked: int | None) -> int:
    """How many processes an attempt starts: as many as the first did, if there are GPUs for them.

    Args:
        folder: The cell's.
        asked: What the command line says, or None.
    """
    fixed = (read_fixed(folder) or {}).get("processes")
    wanted = int(fixed or asked or 1)
    gpus = len(visible_gpus())
    possible = min(wanted, gpus) if gpus else wanted
    if fixed and asked and fixed != asked:
        _log.info("this cell began with %d processes and keeps them", fixed)
    if wanted == 1 and os.environ.get("ACCELERATE_USE_CPU") == "True" and _several_meant():
        _log.warning(
            "accelerate launch --cpu starts one process unless it has MPI: this cell trains in "
            "one; for more give the worker --processes N, or accelerate launch --multi_gpu"
        )
    if possible < wanted:
        _log.warning("%d processes need as many GPUs: %d visible", wanted, gpus)
    return possible


def _several_meant() -> bool:
    # accelerate sets this for more than one process, and leaves it to MPI to start them.
    return "MASTER_ADDR" in os.environ


class ProcessGroup:
    """The launcher's view of the processes of one cell."""

    def __init__(self, folder: CellFolder, count: int, arguments: Sequence[str]) -> None:
        """Nothing starts before :meth:`run`.

        Args:
            folder: The cell's.
            count: Processes to start.
            arguments: The worker's command line.
        """
        self.folder, self.count, self.arguments = folder, count, list(arguments)
        self.ranks: list[subprocess.Popen[bytes]] = []
        self._told: float | None = None

    def run(self, parent: int | None, stop: threading.Event | None = None) -> int:
        """Start the processes and wait for all; the main one's exit code.

        Args:
            parent: Process that must stay this one's parent, or None to outlive it.
            stop: Set if a signal came before this.
        """
        for number in _TOLD_TO_STOP:
            signal.signal(number, self._stop)
        port = _free_port()
        for rank in range(self.count):
            self.ranks.append(self._start(rank, port))
        if self._told is not None or (stop is not None and stop.is_set()):
            self._stop()
        deadline: float | None = None
        while any(code is None for code in self._codes()):
            if parent is not None and os.getppid() != parent and self._told is None:
                self._stop()
            if deadline is None and self._someone_ended_badly():
                deadline = time.monotonic() + _LAST_WORDS_SECONDS
            if self._is_late(deadline):
                self._kill()
            time.sleep(_POLL_SECONDS)
        return self._verdict()

    def _start(self, rank: int, port: int) -> subprocess.Popen[bytes]:
        command = [*WORKER, *self.arguments]
        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.count),
            "LOCAL_WORLD_SIZE": str(self.count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": str(max(1, threads // self.count)),
        }
        return subprocess.Popen([*command, "--parent", str(os.getpid())], env=environment)

    def _codes(self) -> list[int | None]:
        return [process.poll() for process in self.ranks]

    def _someone_ended_badly(self) -> bool:
        # 0: left after training, while the main one evaluates. 4: the main one may still save.
        codes = self._codes()
        return codes[0] is not None or any(c not in (None, DONE, INTERRUPTED) for c in codes)

    def _is_late(self, deadline: float | None) -> bool:
        clock = time.monotonic()
        told_long_ago = self._told is not None and clock > self._told + _SAVE_SECONDS
        return told_long_ago or (deadline is not None and clock > deadline)

    def _stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        self._told = self._told or time.monotonic()
        for process in self.ranks:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def _kill(self) -> None:
        for process in self.ranks:
            if process.poll() is None:
                process.kill()

    def _verdict(self) -> int:
        codes = [process.returncode for process in self.ranks]
        if codes[0] >= 0:
            return codes[0]
        if self._told is not None and self.folder.state() != "failed":
            return INTERRUPTED
        self._leave_word(codes)
        return FAILED

    def _leave_word(self, codes: list[int]) -> None:
        """Write the failure of an attempt whose main process was killed, unless another did."""
        attempt = self.folder.latest_attempt()
        if attempt is None or self.folder.state() not in {"interrupted", "failed"}:
            return
        if self.folder.lease(attempt).get("pid") != self.ranks[0].pid:
            return
        failure = self.folder.failure()
        if failure is None or failure.attempt != attempt:
            failure = self._failure(codes, attempt)
            self.folder.write_failure(failure)
        self.folder.end_attempt(attempt, failure.type)

    def _failure(self, codes: list[int], attempt: int) -> Failure:
        failure = failure_of_end(codes[0], attempt, self.folder.path / "worker.log")
        ends = ", ".join(f"process {rank}: {code}" for rank, code in enumerate(codes))
        message = f"{failure.message} (exit codes of its {self.count} processes: {ends})"
        return failure.model_copy(update={"message": message, "time": now()})


def _free_port() -> int:
    """A port that nobody listens on; if another program takes it now, the next run tries anew."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
