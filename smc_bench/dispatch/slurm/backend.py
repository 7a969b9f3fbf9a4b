"""The backend of a SLURM cluster: jobs in its queue, which outlive the command that sent them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from smc_bench.dispatch.backend import Careful, Look, Outcome, Status, Submission
from smc_bench.dispatch.slurm import queue as slurm_queue
from smc_bench.dispatch.slurm.options import SlurmOptions
from smc_bench.dispatch.slurm.states import Observation, observe
from smc_bench.dispatch.slurm.submit import Submitter
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.errors import SlurmError
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell

_POLL_SECONDS = 5.0
# squeue is asked this often; the disk, which costs the cluster nothing, in between.
_POLLS_BETWEEN_SQUEUE = 4
_OVER = {"done", "damaged", "failed", "lost", "interrupted", "missing"}
_log = logging.getLogger(__name__)


class SlurmBackend:
    """Submits cells, and follows them if asked to."""

    outlives = True

    def __init__(self, spec: WorkerSpec, options: SlurmOptions, steps: Mapping[str, int]) -> None:
        """Nothing is asked or submitted yet; see :class:`Submitter` for the arguments."""
        self.store = spec.store
        self._submitter = Submitter(spec, options, steps)

    def submit(
        self, cells: Mapping[str, Cell], *, retry: bool = False, force: bool = False
    ) -> Submission:
        """Put what is missing into the queue.

        Raises:
            SlurmError: If SLURM can't be asked, so that nothing can be known of the queue.
        """
        return self._submitter.submit(cells, retry=retry, force=force)

    def status(self, cells: Mapping[str, Cell]) -> Status:
        """Where cells stand: the disk, then squeue and sacct."""
        return observe(self.store, cells).states

    def cancel(self, cells: Mapping[str, Cell]) -> int:
        """Take the cells' jobs out of the queue; see :func:`cancel`."""
        return cancel(self.store, cells)

    def wait(self, cells: Mapping[str, Cell], look: Look = lambda status: None) -> Outcome:
        """Follow until every cell is done, failed, or has nobody who would run it.

        What a limit kept out of the queue is submitted as soon as there is room. Leaving by
        KeyboardInterrupt leaves the jobs in the queue.
        """
        show, tick, held_back = Careful(look), 0, 0
        while True:
            if tick % _POLLS_BETWEEN_SQUEUE == 0:
                seen = observe(self.store, cells, accounts=False)
                held_back = self._submit_more(cells, seen)
            tick += 1
            show(seen.states)
            states = seen.states.values()
            if not held_back and all(s.word in _OVER and not s.in_queue for s in states):
                return Outcome.of(self.status(cells))
            time.sleep(_POLL_SECONDS)

    def _submit_more(self, cells: Mapping[str, Cell], seen: Observation) -> int:
        """Submit what an earlier round had to hold back; failures are left to the next run."""
        never = {k: c for k, c in cells.items() if seen.states[k].word == "missing"}
        if not never:
            return 0
        teachers = {cell.teacher for cell in never.values()}
        try:
            report = self._submitter.submit(
                {k: c for k, c in cells.items() if k in never or k in teachers}
            )
        except SlurmError as error:
            _log.warning("%s", error)
            return 1
        # A refusal is worth another try only while other jobs of ours may make room.
        return 0 if report.refused else report.held_back


def cancel(store: Store, cells: Mapping[str, Cell]) -> int:
    """Cancel the jobs of cells, also those that wait for a job that failed.

    Returns:
        How many jobs were cancelled.

    Raises:
        SlurmError: If the queue can't be asked; nothing is cancelled then.
    """
    seen = observe(store, cells, accounts=False)
    if seen.problems:
        raise SlurmError(f"nothing was cancelled: {seen.problems[0]}")
    jobs = {state.job for state in seen.states.values() if state.job}
    hopeless = {
        job.job
        for submitted in seen.jobs.values()
        for job in submitted
        if (queued := seen.queued.get(job.job)) is not None and queued.hopeless
    }
    everything = sorted(jobs | hopeless)
    slurm_queue.cancel(everything)
    return len(everything)
