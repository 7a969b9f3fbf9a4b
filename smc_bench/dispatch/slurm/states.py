"""Where each cell stands: the disk's word first, SLURM's only for what the disk leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smc_bench.dispatch.backend import CellState
from smc_bench.dispatch.slurm import queue as slurm_queue
from smc_bench.dispatch.slurm.jobs import JobsFile, Submitted
from smc_bench.dispatch.slurm.queue import Accounted, Queued
from smc_bench.errors import SlurmError
from smc_bench.store.record import Failure, Record
from smc_bench.store.store import CellFolder, Look, Store, now
from smc_bench.suite.cell import Cell

# SLURM's own words when it kills a job for its memory; the state alone is not always so clear.
_MEMORY_WORDS = ("exceeded memory limit", "oom-kill", "oom_kill", "Out Of Memory")


@dataclass
class Observation:
    """What one look at the disk, the queue and the accounts gave.

    Attributes:
        records: Those of cells that are done.
        problems: Why SLURM could not be asked, where it could not.
    """

    states: dict[str, CellState]
    jobs: dict[str, list[Submitted]]
    queued: dict[str, Queued] = field(default_factory=dict)
    accounted: dict[str, Accounted] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)

    def job_seconds(self) -> dict[str, int]:
        """Wall seconds of every job of these cells, by job."""
        ids = {job.job for jobs in self.jobs.values() for job in jobs}
        return {job: self.accounted[job].seconds for job in ids if job in self.accounted}


def observe(store: Store, cells: Mapping[str, Cell], *, accounts: bool = True) -> Observation:
    """Look at every cell; SLURM is asked at most twice, and not at all if nothing was submitted.

    Args:
        store: Results.
        cells: By id.
        accounts: Whether to ask sacct too.
    """
    folders = {key: store.folder(cell.folder) for key, cell in cells.items()}
    disk = {key: folder.look() for key, folder in folders.items()}
    jobs = JobsFile(store.root).of_cells(set(cells))
    records = {key: look.record for key, look in disk.items() if look.record is not None}
    seen = Observation({}, jobs, records=records)
    if any(disk[key].state != "done" for key in jobs):
        try:
            seen.queued = slurm_queue.queue()
        except SlurmError as error:
            seen.problems.append(str(error))
    if accounts and jobs:
        try:
            ids = [job.job for submitted in jobs.values() for job in submitted]
            seen.accounted = slurm_queue.accounting(ids)
        except SlurmError as error:
            seen.problems.append(str(error))
    for key in cells:
        seen.states[key] = _state(folders[key], disk[key], seen, jobs.get(key, []), store.root)
    return seen


def _state(
    folder: CellFolder, look: Look, seen: Observation, jobs: list[Submitted], results: Path
) -> CellState:
    disk: str = look.state
    if disk == "done":
        return CellState("done")
    if disk == "damaged":
        return CellState("damaged", look.damage)
    live = next((j.job for j in reversed(jobs) if _is_live(seen.queued.get(j.job))), None)
    if live is not None:
        return _queued(seen.queued[live], disk)
    if seen.problems and disk != "failed" and jobs:
        return CellState(disk, "SLURM can't be asked")
    if disk == "running" and not _over(folder, jobs):
        return CellState("running")
    if disk == "failed":
        failure = folder.failure()
        why = f"{failure.type}: {failure.message}" if failure else ""
        by_slurm = _failure(folder, jobs[-1], seen, results) if jobs else None
        if by_slurm is None or (failure is not None and failure.type != "killed"):
            return CellState("failed", why)
        return CellState("failed", f"{by_slurm.type}: {by_slurm.message}", failure=by_slurm)
    if not jobs:
        return CellState(disk)
    return _left_by_slurm(folder, disk, jobs[-1], seen, results)


def _is_live(queued: Queued | None) -> bool:
    return queued is not None and not queued.hopeless


def _over(folder: CellFolder, jobs: list[Submitted]) -> bool:
    """Whether the lease that makes the disk say running is of a job that is not in the queue."""
    holder = folder.slurm_holder()
    return holder is not None and holder in {job.job for job in jobs}


def _queued(queued: Queued, disk: str) -> CellState:
    if queued.state in slurm_queue.LIVE:
        waits = "" if disk == "running" else " (starting, or other cells of the job come first)"
        return CellState("running", f"job {queued.job} on {queued.node}{waits}", queued.job)
    reason = queued.reason or queued.state
    return CellState("pending", f"job {queued.job}: {reason}", queued.job)


def _left_by_slurm(
    folder: CellFolder, disk: str, job: Submitted, seen: Observation, results: Path
) -> CellState:
    failure = _failure(folder, job, seen, results)
    if failure is not None:
        return CellState("failed", f"{failure.type}: {failure.message}", failure=failure)
    row = seen.accounted.get(job.job)
    if job.job in seen.queued:
        return CellState("lost", f"job {job.job} waits for a job that failed")
    if row is None:
        return CellState("lost", f"SLURM has no trace of job {job.job}")
    how = f"job {job.job} ended as {row.state} {row.exit_code} on {row.node}"
    return CellState("lost" if disk == "missing" else "interrupted", how)


def _failure(
    folder: CellFolder, job: Submitted, seen: Observation, results: Path
) -> Failure | None:
    """The failure that only SLURM knows: it killed the job for its memory."""
    row = seen.accounted.get(job.job)
    if row is None or row.state in {"COMPLETED", "RUNNING", "PENDING"}:
        return None
    attempt = folder.latest_attempt()
    if attempt is None:
        return None
    if row.state != "OUT_OF_MEMORY" and not _says_memory(job.log(results)):
        return None
    message = f"SLURM killed job {job.job} for its memory ({row.state}); see {job.log(results)}"
    return Failure(type="out_of_memory", message=message, attempt=attempt, time=now())


def _says_memory(log: Path) -> bool:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return False
    return any(word in text for word in _MEMORY_WORDS)
