"""Submission to SLURM through submitit: what is missing goes into the queue, and that is all.

The jobs' return values are never read; the cells' folders say what became of them.
"""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError

from smc_bench.dispatch.backend import Submission
from smc_bench.dispatch.choice import choose, forget, prepare, to_try_again
from smc_bench.dispatch.local.retry import spare_memory
from smc_bench.dispatch.slurm import queue as slurm_queue
from smc_bench.dispatch.slurm.job import RunCells
from smc_bench.dispatch.slurm.jobs import JobsFile, Submitted
from smc_bench.dispatch.slurm.options import JobSettings, SlurmOptions
from smc_bench.dispatch.slurm.plan import Batch, batches, cut
from smc_bench.dispatch.slurm.states import Observation, observe
from smc_bench.dispatch.worker.command import PACKAGE_PARENT, WorkerSpec
from smc_bench.environment import python_path
from smc_bench.errors import SlurmError
from smc_bench.store.store import now
from smc_bench.suite.cell import Cell

# A worker is told to save this long before submitit must have its requeue through.
_REQUEUE_SECONDS = 15.0


class Submitter:
    """Puts into the queue what is missing of some cells and not there yet."""

    def __init__(self, spec: WorkerSpec, options: SlurmOptions, steps: Mapping[str, int]) -> None:
        """Nothing is asked or submitted before :meth:`submit`.

        Args:
            spec: What workers are started with; its folders must be on a file system that the
                compute nodes share.
            options: Resources and limits.
            steps: Optimizer steps of each cell.
        """
        self.spec, self.store, self.options, self.steps = spec, spec.store, options, steps
        self.jobs = JobsFile(self.store.root)

    def submit(
        self, cells: Mapping[str, Cell], *, retry: bool = False, force: bool = False
    ) -> Submission:
        """Look at the disk and the queue, submit what is missing, note the jobs.

        Args:
            cells: By id, teachers before students.
            retry: Whether failed cells are tried again.
            force: Whether finished cells are run again.

        Raises:
            SlurmError: If SLURM can't be asked, so that nothing can be known of the queue.
        """
        with self.jobs.submitting():
            seen = observe(self.store, cells)
            if not seen.queued and seen.problems:
                raise SlurmError(f"nothing was submitted: {seen.problems[0]}")
            self._settle(cells, seen)
            if force:
                forget(self.store, cells, seen.states)
            again = to_try_again(self.store, cells, seen.states, retry=retry)
            choice = choose(cells, seen.states, again)
            if retry:
                spare_memory(self.store, choice.needed, self.spec.execution)
            report = Submission(failed=choice.failed, blocked=choice.blocked, before=seen.states)
            planned = batches(
                choice, seen.states, self.options, self.steps, slurm_queue.max_array_size()
            )
            planned, report.held_back = cut(planned, self._room() if planned else None)
            self._submit_all(planned, seen, report)
        return report

    def _settle(self, cells: Mapping[str, Cell], seen: Observation) -> None:
        """Write down failures that only SLURM could tell."""
        for key, state in seen.states.items():
            if state.failure is not None and not state.in_queue:
                self.store.folder(cells[key].folder).write_failure(state.failure)

    def _room(self) -> int | None:
        limits = (self.options.max_submit, slurm_queue.max_submit())
        limit = min((value for value in limits if value is not None), default=None)
        return None if limit is None else max(0, limit - len(slurm_queue.queue()))

    def _submit_all(self, planned: list[Batch], seen: Observation, report: Submission) -> None:
        teachers = {key: state.job for key, state in seen.states.items() if state.job}
        for batch in planned:
            if batch.after is not None and batch.after not in teachers:
                # Its teacher was held back or refused; without its id nothing can wait for it.
                report.held_back += len(batch.jobs)
                continue
            try:
                ids = self._submit(batch, teachers.get(batch.after or ""))
            except SlurmError as error:
                report.refused.append(str(error))
                report.held_back += len(batch.jobs)
                continue
            report.arrays += 1
            for job, cells in zip(ids, batch.jobs, strict=True):
                report.submitted |= {cell.id: job for cell in cells}
                if batch.teacher:
                    teachers[cells[0].id] = job

    def _submit(self, batch: Batch, after: str | None) -> list[str]:
        for cell in (cell for job in batch.jobs for cell in job):
            # Tasks of an array do not wait for each other, whatever a local run has noted.
            prepare(self.store, cell)
        # A folder of its own: where a site's job ids start again, old results must not answer.
        name = f"{now().replace(':', '').replace('-', '')[:15]}-{secrets.token_hex(3)}"
        folder = self.jobs.folder / name
        executor = _executor(folder, batch.settings, after)
        calls = [self._callable(job, batch) for job in batch.jobs]
        try:
            with executor.batch():
                jobs = [executor.submit(call) for call in calls]
            ids = [job.job_id for job in jobs]
        except FailedJobError as error:
            raise SlurmError(f"sbatch refused {len(calls)} jobs: {_last_line(error)}") from None
        self.jobs.append(
            [
                Submitted(
                    job=job,
                    cells=tuple(cell.id for cell in cells),
                    folder=str(folder.relative_to(self.store.root.absolute())),
                    gpus=batch.settings.gpus,
                    submitted=now(),
                )
                for job, cells in zip(ids, batch.jobs, strict=True)
            ]
        )
        return ids

    def _callable(self, cells: tuple[Cell, ...], batch: Batch) -> RunCells:
        # One process a GPU; the worker starts them itself, so that a job has one task to signal.
        gpus = batch.settings.gpus
        return RunCells(
            tuple(cell.folder for cell in cells),
            replace(self.spec, processes=gpus if gpus > 1 else None),
            patient=batch.teacher,
            grace=max(5.0, batch.settings.signal_seconds - _REQUEUE_SECONDS),
        )


def _executor(folder: Path, settings: JobSettings, after: str | None) -> submitit.SlurmExecutor:
    """A fresh executor each time: a dependency would stay in its parameters."""
    try:
        # -P: sbatch starts in the folder it was called from, and no module there is to run.
        python = f"{shlex.quote(sys.executable)} -P"
        executor = submitit.SlurmExecutor(
            folder, max_num_timeout=settings.max_requeues, python=python
        )
    except RuntimeError:
        raise SlurmError("srun was not found: is this a machine of a SLURM cluster?") from None
    # Sites may switch requeuing off by default; a lost node should cost no cell.
    more: dict[str, Any] = {"requeue": True}
    if after is not None:
        more["kill-on-invalid-dep"] = "yes"
    ours = python_path({}, PACKAGE_PARENT)
    path = [f'export PYTHONPATH={shlex.quote(ours)}"${{PYTHONPATH:+:$PYTHONPATH}}"'] if ours else []
    parameters = {
        "job_name": "smc-bench",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "time": settings.minutes,
        "cpus_per_task": settings.cpus,
        "gpus_per_node": settings.gpus or None,
        "mem": None if settings.megabytes is None else f"{settings.megabytes}MB",
        "array_parallelism": settings.array_parallelism,
        "setup": [*settings.setup, *path],
        "signal_delay_s": settings.signal_seconds,
        "dependency": None if after is None else f"afterok:{after}",
        "additional_parameters": more,
    }
    executor.update_parameters(**{k: v for k, v in parameters.items() if v is not None})
    return executor


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("sbatch: error:")]
    return (told or lines or [type(error).__name__])[-1].removeprefix("sbatch: error:").strip()
