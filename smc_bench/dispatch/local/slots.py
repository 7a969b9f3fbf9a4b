"""The slots of a pool: which process has which, with which GPUs, and which are free."""

from __future__ import annotations

from collections.abc import Sequence

from smc_bench.dispatch.local.worker_process import WorkerProcess
from smc_bench.dispatch.worker.command import WorkerSpec, worker_environment
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell

# A process without a cell has nothing to save.
_LEAVE_SECONDS = 10.0


class Slots:
    """As many places for persistent workers as cells run at once."""

    def __init__(self, spec: WorkerSpec, count: int, gpus: Sequence[str]) -> None:
        """Nothing starts before :meth:`start`.

        Args:
            spec: What workers are started with.
            count: Places.
            gpus: GPUs to share out; each slot always has the same ones.
        """
        self.spec, self.count, self.gpus = spec, count, tuple(gpus)
        self._free: dict[int, WorkerProcess] = {}

    def start(
        self, cell: Cell, threads: int, folder: CellFolder, busy: Sequence[WorkerProcess]
    ) -> WorkerProcess:
        """Give a cell to a free process, or to a new one.

        Args:
            cell: The cell; its folder exists.
            threads: Threads that it may use.
            folder: The cell's.
            busy: Processes that have a cell now.
        """
        slots = set(range(self.count)) - {worker.slot for worker in busy}
        slot = min(slots & self._free.keys() or slots)
        worker, before = self._free.pop(slot, None), _traces(folder)
        # A process that is gone may have had the cell and ended, all before it is looked at.
        if worker is None or not (worker.give(cell, threads) or _traces(folder) != before):
            log = folder.path / "worker.log"
            worker = WorkerProcess(self.spec.command(), self._environment(slot, threads), log, slot)
            worker.give(cell, threads)  # if that fails, its exit code will say why
        return worker

    def release(self, worker: WorkerProcess) -> None:
        """Take back a process whose cell is over; it waits for the next one, if it lives."""
        worker.cell = None
        if not worker.gone:
            self._free[worker.slot] = worker

    def dismiss(self) -> None:
        """Let free processes leave; they have nothing to save."""
        leaving = list(self._free.values())
        self._free.clear()
        for worker in leaving:
            worker.let_go()
        for worker in leaving:
            worker.stop(_LEAVE_SECONDS)

    def _environment(self, slot: int, threads: int) -> dict[str, str]:
        environment = worker_environment(threads)
        if self.gpus:
            gpus, count = self.gpus, self.spec.processes or 1
            chosen = [gpus[(slot * count + i) % len(gpus)] for i in range(min(count, len(gpus)))]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
        return environment


def _traces(folder: CellFolder) -> tuple[str, int | None]:
    """What changes as soon as a worker takes the cell: a resumed one is interrupted once more."""
    return folder.state(), folder.latest_attempt()
