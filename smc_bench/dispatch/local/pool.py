"""A bounded pool of isolated worker processes on this machine, teachers before students.

A process has one cell at a time and takes the next when one is done; whatever else it ends by, it
ends with its cell, and the next cell gets a fresh process. Threads of all running cells together
never exceed the cores, except that one cell always may run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smc_bench.dispatch.failures import failure_of_end
from smc_bench.dispatch.local.capacity import budget, fits, share, usable_cores
from smc_bench.dispatch.local.stop import Stop
from smc_bench.dispatch.local.worker_process import WorkerProcess, wait_for_any
from smc_bench.dispatch.worker.command import INTERRUPTED, worker_command, worker_environment
from smc_bench.dispatch.worker.execution import read_kept
from smc_bench.engine.recipe import Execution
from smc_bench.errors import StoreError
from smc_bench.sources import Roots
from smc_bench.store.record import TRANSIENT
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell

_POLL_SECONDS = 0.5
# A process without a cell has nothing to save.
_LEAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Options:
    """How the pool runs: workers at once, GPUs to share out, retries, plug-ins of the workers.

    A cell trains in ``per_cell`` processes, one GPU each. ``spared`` has the cells that begin alike
    (:func:`smc_bench.suite.sharing.spared_steps`). All cells together have ``threads`` (None: see
    :func:`smc_bench.dispatch.local.capacity.budget`).
    """

    jobs: int = 1
    retry: bool = False
    force: bool = False
    gpus: tuple[str, ...] = ()
    include: tuple[Path, ...] = ()
    per_cell: int = 1
    spared: Mapping[str, int] = field(default_factory=dict)
    threads: int | None = None


@dataclass
class Outcome:
    """Cells by how they ended, as their folders say; the signal that ended the run, or 0."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    signal: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether the run was told to stop."""
        return self.signal != 0


class LocalPool:
    """Runs the cells that are not finished; one cell's end never costs another.

    Attributes:
        waiting: Cells that have not started yet, in order.
        workers: Processes that have a cell now.
    """

    def __init__(
        self,
        store: Store,
        roots: Roots,
        execution: Execution,
        options: Options,
        on_tick: Callable[[LocalPool], None] = lambda pool: None,
    ) -> None:
        """Nothing starts before :meth:`run`."""
        self.store, self.roots, self.execution, self.options = store, roots, execution, options
        self.on_tick = on_tick
        self.cores = budget(options.threads, options.jobs, usable_cores())
        self.waiting: list[Cell] = []
        self.workers: list[WorkerProcess] = []
        self.outcome = Outcome()
        self._free: dict[int, WorkerProcess] = {}
        self._stop = Stop()
        self._tried: set[str] = set()

    @property
    def running(self) -> list[Cell]:
        """Cells that a process has now."""
        return [worker.cell for worker in self.workers if worker.cell is not None]

    def run(self, cells: dict[str, Cell]) -> Outcome:
        """Bring cells to a record, in order, as far as possible."""
        previous = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.waiting = [cell for cell in cells.values() if not self._settled(cell)]
            while self.workers or (self.waiting and not self._stop.told):
                self._start_ready()
                self._stop.press(self.workers)
                self._tick()
                wait_for_any(self.workers, _POLL_SECONDS)
                self._reap()
        finally:
            self._stop_workers()
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.outcome.signal = self._stop.signal
        self._tick()
        return self.outcome

    def _tick(self) -> None:
        """Show where the run is; a mistake there must not cost the cells that run."""
        try:
            self.on_tick(self)
        except Exception as error:
            self.on_tick = lambda pool: None
            print(f"progress is not shown any more: {error!r}", file=sys.stderr)

    def _folder(self, cell: Cell) -> CellFolder:
        return self.store.folder(cell.folder)

    def _settled(self, cell: Cell) -> bool:
        """Note a cell that is done, or failed for good, without running it."""
        folder = self._folder(cell)
        state = folder.state()
        if self.options.force and cell.id not in self._tried and state in {"done", "damaged"}:
            (folder.path / "record.json").unlink()
            state = folder.state()
        if state == "done":
            self.outcome.done.append(cell.id)
            return True
        if state == "damaged":
            self.outcome.failed[cell.id] = folder.damage()
            return True
        failure = folder.failure() if state == "failed" else None
        again = self.options.retry or (failure is not None and failure.type in TRANSIENT)
        if failure is not None and (cell.id in self._tried or not again):
            self.outcome.failed[cell.id] = f"{failure.type}: {failure.message}"
            return True
        return False

    def _start_ready(self) -> None:
        room = self.options.jobs - len(self.workers)
        if room < 1 or self._stop.told:
            return
        ready, running = self._ready(room), len(self.workers)
        for cell in ready:
            try:
                threads = self._threads(cell, running, len(ready))
            except StoreError as error:
                self.waiting.remove(cell)
                self.outcome.failed[cell.id] = str(error)
                continue
            taken = sum(worker.threads for worker in self.workers)
            if not self.options.gpus and not fits(self.cores, taken, threads):
                break  # in order: what waits for more cores is not overtaken for ever
            self.waiting.remove(cell)
            self._start(cell, threads)
        if not self.waiting:
            # What free workers hold may be what the last cells need.
            self._dismiss(list(self._free))

    def _ready(self, count: int) -> list[Cell]:
        """The first cells that can start now; notes on the way what needs no start any more."""
        ours = {cell.id for cell in (*self.waiting, *self.running)}
        ready: list[Cell] = []
        for cell in list(self.waiting):
            if len(ready) == count:
                break
            if cell.teacher in ours:
                continue
            settled = self._settled(cell)  # someone else may have finished it
            reason = None if settled else self._not_ready(cell)
            if reason == "":
                ready.append(cell)
            elif reason is not None or settled:
                self.waiting.remove(cell)
                ours.discard(cell.id)
            if reason:
                self.outcome.blocked[cell.id] = reason
        return ready

    def _threads(self, cell: Cell, running: int, ready: int) -> int:
        """Threads of a cell that starts now: those it began with, else its share of the cores."""
        kept = (read_kept(self._folder(cell)) or {}).get("threads")
        return int(kept or share(self.cores, self.options.jobs, running, ready))

    def _not_ready(self, cell: Cell) -> str | None:
        """Empty if it can start, None to wait, else why it never will."""
        if self._folder(cell).state() == "running":
            return None
        if cell.teacher is None or cell.teacher in self.outcome.done:
            return ""
        for cause in (self.outcome.failed, self.outcome.blocked):
            if cell.teacher in cause:
                return f"its teacher {cell.teacher} failed"
        teacher = self.store.by_id(cell.teacher)
        return "" if teacher is not None and teacher.state() == "done" else None

    def _start(self, cell: Cell, threads: int) -> None:
        folder = self._folder(cell)
        folder.create(cell.model_dump(mode="json"))
        folder.note_sharing(self.options.spared.get(cell.id))
        self._tried.add(cell.id)
        slots = set(range(self.options.jobs)) - {worker.slot for worker in self.workers}
        slot = min(slots & self._free.keys() or slots)
        worker, old = self._free.pop(slot, None), _looks(folder)
        # A process that is gone may have had the cell and ended, all before it is looked at.
        if worker is None or not (worker.give(cell, threads) or _looks(folder) != old):
            worker = self._fresh(slot, threads, folder.path / "worker.log")
            worker.give(cell, threads)  # if that fails, its exit code will say why
        self.workers.append(worker)

    def _fresh(self, slot: int, threads: int, log: Path) -> WorkerProcess:
        data, plugins = self.roots.data, self.options.include
        command = worker_command(
            None,
            str(self.store.root),
            str(self.roots.cache),
            None if data is None else str(data),
            self.execution.model_dump_json(),
            (
                *(word for path in plugins for word in ("--include", str(path.absolute()))),
                *(("--processes", str(self.options.per_cell)) if self.options.per_cell > 1 else ()),
            ),
        )
        return WorkerProcess(command, self._environment(slot, threads), log, slot)

    def _environment(self, slot: int, threads: int) -> dict[str, str]:
        environment = worker_environment(threads)
        if self.options.gpus:
            gpus, count = self.options.gpus, self.options.per_cell
            chosen = [gpus[(slot * count + i) % len(gpus)] for i in range(min(count, len(gpus)))]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
        return environment

    def _reap(self) -> None:
        for worker in list(self.workers):
            code = worker.ended()
            if code is None:
                continue
            self.workers.remove(worker)
            cell, worker.cell = worker.cell, None
            if not worker.gone:
                self._free[worker.slot] = worker
            if cell is not None:
                self._judge(cell, code)

    def _judge(self, cell: Cell, code: int) -> None:
        """Believe the folder; the exit code only explains a folder that says nothing."""
        folder = self._folder(cell)
        state = folder.state()
        silent = state in {"interrupted", "missing"} and code != INTERRUPTED
        if silent and not self._leave_word(cell, code):
            return
        if not self._settled(cell) and not self._stop.told:
            self.waiting.insert(0, cell)

    def _leave_word(self, cell: Cell, code: int) -> bool:
        """Write how a worker ended that left no word; False where even that can't be written."""
        folder = self._folder(cell)
        attempt = folder.latest_attempt() or 0
        failure = failure_of_end(code, attempt, folder.path / "worker.log")
        try:
            if attempt:
                # Other machines see only the lease, and would believe it for minutes.
                folder.end_attempt(attempt, "killed")
            if not self._stop.told:
                folder.write_failure(failure)
        except (OSError, StoreError) as error:
            # Tried again it would end alike, on and on; the other cells may fare better.
            self.outcome.failed[cell.id] = f"{failure.type}: {failure.message} ({error})"
            return False
        return True

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop.tell(number, self.workers)

    def _dismiss(self, slots: list[int]) -> None:
        """Let free processes leave; they have nothing to save."""
        leaving = [self._free.pop(slot) for slot in slots]
        for worker in leaving:
            worker.let_go()
        for worker in leaving:
            worker.stop(_LEAVE_SECONDS)

    def _stop_workers(self) -> None:
        """Whatever ended the loop: no process outlives it."""
        self._stop.tell(0, self.workers)
        for worker in self.workers:
            worker.stop(self._stop.left())
        self._dismiss(list(self._free))


def _looks(folder: CellFolder) -> tuple[str, int | None]:
    """What changes as soon as a worker takes the cell: a resumed one is interrupted once more."""
    return folder.state(), folder.latest_attempt()
