"""How a run of this machine stops: at once it says what it waits for, and it never waits for ever.

The first SIGINT or SIGTERM asks the workers to save their cells and leave; the second ends them,
and so does the end of the time that they are given. A cell that is ended so goes on from its last
checkpoint when the same command is given again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from smc_bench.dispatch.local.worker_process import WorkerProcess

GRACE_SECONDS = 120.0
"""Time to save: more than the launcher of a cell's processes gives them."""


class Stop:
    """Whether a run is told to stop, by which signal, and until when its workers may save.

    Attributes:
        signal: The first signal's number, or 0.
        told: Whether it is to stop, by a signal or because the run has failed.
    """

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        """Nobody has been told anything; ``announce`` is called in the signal's handler."""
        self.signal, self.told = 0, False
        self._announce = announce or write_at_once
        self._deadline = 0.0

    def tell(self, number: int, workers: Sequence[WorkerProcess]) -> None:
        """A signal came (0: the run ends by itself); safe to call in its handler.

        Args:
            number: Of the signal.
            workers: Processes that have a cell now.
        """
        again = self.told and number != 0
        if not self.told:
            self._deadline = time.monotonic() + GRACE_SECONDS
        self.signal, self.told = self.signal or number, True
        if number:
            self._announce(_in_words(workers, again))
        if again:
            self._deadline = 0.0
        self.press(workers)

    def left(self) -> float:
        """Seconds that workers may still take to save."""
        return max(0.0, self._deadline - time.monotonic())

    def press(self, workers: Sequence[WorkerProcess]) -> None:
        """Ask workers that were not asked yet, also those that started meanwhile; or end them."""
        if not self.told:
            return
        late = self.left() <= 0.0
        for worker in workers:
            if not worker.asked:
                worker.ask_to_stop()
            if late and not worker.gone:
                worker.kill()


def _in_words(workers: Sequence[WorkerProcess], again: bool) -> str:
    names = ", ".join(worker.cell.slug for worker in workers if worker.cell is not None)
    if again:
        return f"ended at once: {names or 'nothing'}"
    if not names:
        return "stopping"
    return (
        f"stopping: waiting for {names} to save and leave, {GRACE_SECONDS:.0f} s at most; the "
        "same signal again ends them at once"
    )


def write_at_once(text: str) -> None:
    """Write a line to standard error as a signal's handler may: it can have cut a print short."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode(errors="replace"))
