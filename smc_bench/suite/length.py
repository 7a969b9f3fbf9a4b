"""How long cells train, by the task's nominal number of rows, and the order to run them in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from smc_bench.engine.schedules.sparsity import Timeline, build_timeline
from smc_bench.errors import SuiteError
from smc_bench.suite.cell import Cell
from smc_bench.tasks.specs import SPECS

# By what a timeline follows from: `plan` asks for each of a thousand several times.
_TIMELINES: dict[tuple[str, int], Timeline] = {}


def timeline_of(cell: Cell) -> Timeline:
    """A cell's timeline by the task's nominal number of rows (windows may make it longer).

    Raises:
        SuiteError: If the schedule does not fit the length of training.
    """
    rows = min(SPECS[cell.task.name].train_rows, cell.recipe.train.rows or 2**60)
    key = (cell.id, rows)
    if key not in _TIMELINES:
        try:
            _TIMELINES[key] = build_timeline(cell.recipe, cell.sparsity, rows)
        except ValueError as error:
            raise SuiteError(f"{cell.slug}: {error}") from None
    return _TIMELINES[key]


def steps_of(cell: Cell) -> int:
    """Optimizer steps that a cell takes, cut short by its limit if it has one."""
    steps = timeline_of(cell).total_steps
    return steps if cell.limit is None else min(steps, cell.limit)


def running_order(cells: dict[str, Cell]) -> dict[str, Cell]:
    """Cells in a good order to run: any beginning of it makes a readable table.

    Dense cells come first (teachers before other ones), then seed by seed, and of each seed task by
    task and sparsity by sparsity, all arms of one before the next.

    Args:
        cells: By id, in the suite's order.
    """
    teachers = {cell.teacher for cell in cells.values()}
    seeds = _ranks(cell.seed for cell in cells.values())
    tasks = _ranks(cell.task for cell in cells.values())
    levels = _ranks(cell.sparsity for cell in cells.values())

    def rank(cell: Cell) -> tuple[bool, bool, int, int, int]:
        place = (seeds[cell.seed], tasks[cell.task], levels[cell.sparsity])
        return not is_dense(cell), is_dense(cell) and cell.id not in teachers, *place

    return {cell.id: cell for cell in sorted(cells.values(), key=rank)}


def is_dense(cell: Cell) -> bool:
    """Whether a cell neither prunes nor needs another one."""
    return cell.recipe.sparsity_schedule is None and cell.teacher is None


def _ranks(values: Iterable[Hashable]) -> dict[Hashable, int]:
    return {value: rank for rank, value in enumerate(dict.fromkeys(values))}
