"""From cells that are needed to batches of jobs: arrays by resources and teacher, packed, cut.

Pure: no disk, no SLURM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from smc_bench.dispatch.backend import CellState
from smc_bench.dispatch.choice import Choice
from smc_bench.dispatch.slurm.options import JobSettings, SlurmOptions
from smc_bench.suite.cell import Cell


@dataclass(frozen=True)
class Batch:
    """What one call of sbatch submits.

    Attributes:
        jobs: Cells of each job; several batches of one job, or more, make an array.
        after: Id of the teacher cell whose job must succeed first, if it is not done yet.
        teacher: Whether other cells wait for this one.
    """

    settings: JobSettings
    jobs: tuple[tuple[Cell, ...], ...]
    after: str | None = None
    teacher: bool = False


def batches(
    choice: Choice,
    states: Mapping[str, CellState],
    options: SlurmOptions,
    steps: Mapping[str, int],
    max_array: int,
) -> list[Batch]:
    """Arrange the needed cells; teachers first, each a job of its own.

    Args:
        choice: Cells to submit.
        states: Where each cell stands, to see which teachers are done.
        options: Resources of each cell, packing.
        steps: Optimizer steps of each cell, a measure of its length.
        max_array: Most elements of one array.
    """
    teachers = {cell.teacher for cell in choice.needed if cell.teacher}
    planned = [
        Batch(options.settings[cell.id], ((cell,),), teacher=True)
        for cell in choice.needed
        if cell.id in teachers
    ]
    groups: dict[tuple[JobSettings, str | None], list[Cell]] = {}
    for cell in choice.needed:
        if cell.id not in teachers:
            done = cell.teacher is None or _word(states, cell.teacher) == "done"
            key = options.settings[cell.id], None if done else cell.teacher
            groups.setdefault(key, []).append(cell)
    for (settings, after), members in groups.items():
        jobs = list(_packed(members, steps, options.pack_steps))
        for start in range(0, len(jobs), max_array):
            planned.append(Batch(settings, tuple(jobs[start : start + max_array]), after))
    return planned


def _word(states: Mapping[str, CellState], key: str) -> str:
    return states[key].word if key in states else "missing"


def _packed(
    cells: Iterable[Cell], steps: Mapping[str, int], limit: int | None
) -> Iterator[tuple[Cell, ...]]:
    """Put cells into a job until the next would take it over the limit."""
    job: list[Cell] = []
    length = 0
    for cell in cells:
        if job and (limit is None or length + steps[cell.id] > limit):
            yield tuple(job)
            job, length = [], 0
        job.append(cell)
        length += steps[cell.id]
    if job:
        yield tuple(job)


def cut(planned: list[Batch], room: int | None) -> tuple[list[Batch], int]:
    """As many jobs as the site still lets into the queue, and how many had to stay out.

    Args:
        planned: Batches, teachers first.
        room: Jobs that the queue still takes, or None for no limit.
    """
    if room is None:
        return planned, 0
    fitting: list[Batch] = []
    out = 0
    for batch in planned:
        jobs = batch.jobs[: max(0, room)]
        room -= len(jobs)
        out += len(batch.jobs) - len(jobs)
        if jobs:
            fitting.append(Batch(batch.settings, jobs, batch.after, batch.teacher))
    return fitting, out
