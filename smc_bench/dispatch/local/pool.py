"""The backend of this machine: a bounded pool of worker processes, teachers before students.

A process has one cell at a time and takes the next when one is done; whatever else it ends by, it
ends with its cell, and the next cell gets a fresh process. Threads of all running cells together
never exceed the cores, except that one cell always may run. Processes are started and looked after
in :meth:`LocalPool.wait`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from smc_bench.dispatch.backend import Careful, CellState, Look, Outcome, Status, Submission
from smc_bench.dispatch.choice import (
    choose,
    forget,
    prepare,
    state_on_disk,
    states_on_disk,
    to_try_again,
)
from smc_bench.dispatch.failures import failure_of_end, settle_end
from smc_bench.dispatch.local.capacity import budget, fits, share, usable_cores
from smc_bench.dispatch.local.retry import spare_memory
from smc_bench.dispatch.local.sharing import end_sharing
from smc_bench.dispatch.local.slots import Slots
from smc_bench.dispatch.local.stop import Stop, write_at_once
from smc_bench.dispatch.local.worker_process import WorkerProcess, wait_for_any
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.dispatch.worker.execution import read_fixed
from smc_bench.errors import StoreError
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell
from smc_bench.suite.sharing import reused_steps

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """How much of this machine a pool takes.

    Attributes:
        jobs: Cells at once.
        gpus: GPUs to share out; a cell that trains in several processes has as many.
        threads: Threads of all cells together (None: see
            :func:`smc_bench.dispatch.local.capacity.budget`).
    """

    jobs: int = 1
    gpus: tuple[str, ...] = ()
    threads: int | None = None


class LocalPool:
    """Runs cells here; one cell's end never costs another.

    Attributes:
        waiting: Cells that have not started yet, in order.
        workers: Processes that have a cell now.
        outcome: How cells have ended so far.
        reused: Steps that cells can take from another one that shares their prefix, by id.
    """

    outlives = False

    def __init__(
        self,
        spec: WorkerSpec,
        options: Options | None = None,
        announce: Callable[[str], None] = write_at_once,
    ) -> None:
        """Nothing starts before :meth:`wait`.

        Args:
            spec: What workers are started with.
            options: How much of this machine to take.
            announce: Says in a signal's handler what a run that is told to stop waits for.
        """
        self.spec, self.store = spec, spec.store
        self.options = options or Options()
        self.cores = budget(self.options.threads, self.options.jobs, usable_cores())
        self.waiting: list[Cell] = []
        self.workers: list[WorkerProcess] = []
        self.outcome = Outcome()
        self.reused: dict[str, int] = {}
        self._slots = Slots(spec, self.options.jobs, self.options.gpus)
        self._stop = Stop(announce)
        self._tried: set[str] = set()
        self._again: set[str] = set()
        self._cancelled: set[str] = set()

    def submit(
        self, cells: Mapping[str, Cell], *, retry: bool = False, force: bool = False
    ) -> Submission:
        """Note what is to be run; see :class:`smc_bench.dispatch.backend.Backend`."""
        if retry:
            spare_memory(self.store, cells.values(), self.spec.execution)
        states = states_on_disk(self.store, cells)
        if force:
            forget(self.store, cells, states)
        again = to_try_again(self.store, cells, states, retry=retry)
        choice = choose(cells, states, again)
        self._again |= again
        self.waiting += choice.needed
        self.outcome.done += [key for key, state in states.items() if state.word == "done"]
        self.outcome.failed |= choice.failed
        self.outcome.blocked |= choice.blocked
        # Several processes a cell train all of their steps themselves.
        if self.spec.processes in (None, 1):
            self.reused |= reused_steps(choice.needed)
        return replace(choice.submission("this machine", states), reused=self.reused)

    def status(self, cells: Mapping[str, Cell]) -> Status:
        """Where cells stand, from memory: it is asked for twice a second."""
        ended, running = self.outcome, {cell.id for cell in self.running}
        waiting = {cell.id for cell in self.waiting}
        states = dict.fromkeys(cells, CellState("missing"))
        for key in cells:
            if key in running:
                states[key] = CellState("running")
            elif key in waiting:
                states[key] = CellState("pending")
        for word, reasons in (("failed", ended.failed), ("blocked", ended.blocked)):
            states |= {key: CellState(word, why) for key, why in reasons.items() if key in cells}
        return states | {key: CellState("done") for key in ended.done if key in cells}

    def cancel(self, cells: Mapping[str, Cell]) -> int:
        """Start none of these cells any more, and ask those that run to save and leave."""
        count = len(self.waiting)
        self.waiting = [cell for cell in self.waiting if cell.id not in cells]
        count -= len(self.waiting)
        for worker in self.workers:
            if worker.cell is not None and worker.cell.id in cells and not worker.asked:
                self._cancelled.add(worker.cell.id)
                worker.ask_to_stop()
                count += 1
        return count

    def wait(self, cells: Mapping[str, Cell], look: Look = lambda status: None) -> Outcome:
        """Bring what was submitted to a record, in order, as far as possible.

        The first SIGINT or SIGTERM asks the workers to save, the second ends them.
        """
        previous = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        show = Careful(look)
        try:
            while self.workers or (self.waiting and not self._stop.told):
                self._start_ready()
                self._stop.press(self.workers)
                show(self.status(cells))
                wait_for_any(self.workers, _POLL_SECONDS)
                self._reap()
        finally:
            self._stop_workers()
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.outcome.signal = self._stop.signal
        show(self.status(cells))
        end_sharing(self.store, self.reused, cells)
        return self.outcome

    @property
    def running(self) -> list[Cell]:
        """Cells that a process has now."""
        return [worker.cell for worker in self.workers if worker.cell is not None]

    def _folder(self, cell: Cell) -> CellFolder:
        return self.store.folder(cell.folder)

    def _settled(self, cell: Cell) -> bool:
        """Note a cell that is done, or failed for good, without running it."""
        state = state_on_disk(self._folder(cell))
        if state.word == "done":
            self.outcome.done.append(cell.id)
            return True
        retried = cell.id in self._again - self._tried
        if state.word == "damaged" or (state.word == "failed" and not retried):
            self.outcome.failed[cell.id] = state.why
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
            self._tried.add(cell.id)
            folder = prepare(self.store, cell, self.reused.get(cell.id))
            self.workers.append(self._slots.start(cell, threads, folder, self.workers))
        if not self.waiting:
            # What free workers hold may be what the last cells need.
            self._slots.dismiss()

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
        fixed = (read_fixed(self._folder(cell)) or {}).get("threads")
        return int(fixed or share(self.cores, self.options.jobs, running, ready))

    def _not_ready(self, cell: Cell) -> str | None:
        """Empty if it can start, None to wait, else why it never will."""
        if self._folder(cell).state() == "running":
            return None
        if cell.teacher is None or cell.teacher in self.outcome.done:
            return ""
        for cause in (self.outcome.failed, self.outcome.blocked):
            if cell.teacher in cause:
                return f"its teacher {cell.teacher} failed"
        if cell.teacher in self._cancelled:
            return f"its teacher {cell.teacher} was cancelled"
        teacher = self.store.by_id(cell.teacher)
        return "" if teacher is not None and teacher.state() == "done" else None

    def _reap(self) -> None:
        for worker in list(self.workers):
            code = worker.ended()
            if code is None:
                continue
            self.workers.remove(worker)
            cell = worker.cell
            self._slots.release(worker)
            if cell is not None:
                self._judge(cell, code)

    def _judge(self, cell: Cell, code: int) -> None:
        folder = self._folder(cell)
        try:
            settle_end(folder, code, blame=not self._stop.told and cell.id not in self._cancelled)
        except (OSError, StoreError) as error:
            # Tried again it would end alike, on and on; the other cells may fare better.
            end = failure_of_end(code, 0, folder.path / "worker.log")
            self.outcome.failed[cell.id] = f"{end.type}: {end.message} ({error})"
            return
        if self._settled(cell) or self._stop.told:
            return
        if cell.id in self._cancelled:
            self.outcome.left[cell.id] = "cancelled"
        else:
            self.waiting.insert(0, cell)

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop.tell(number, self.workers)

    def _stop_workers(self) -> None:
        """Whatever ended the loop: no process outlives it."""
        self._stop.tell(0, self.workers)
        for worker in self.workers:
            worker.stop(self._stop.left())
        self._slots.dismiss()
