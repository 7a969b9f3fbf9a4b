"""How long cells train, before any data is there: by the task's nominal number of rows."""

from __future__ import annotations

from smc_bench.engine.sparsity_schedule import Timeline, build_timeline
from smc_bench.errors import SuiteError
from smc_bench.suite.cell import Cell
from smc_bench.tasks.specs import SPECS


def timeline_of(cell: Cell) -> Timeline:
    """A cell's timeline by the task's nominal number of rows (windows may make it longer).

    Raises:
        SuiteError: If the schedule does not fit the length of training.
    """
    rows = min(SPECS[cell.task.name].train_rows, cell.recipe.train.rows or 2**60)
    try:
        return build_timeline(cell.recipe, cell.sparsity, rows)
    except ValueError as error:
        raise SuiteError(f"{cell.slug}: {error}") from None


def longest_first(cells: dict[str, Cell]) -> dict[str, Cell]:
    """Cells in a good order to run: dense ones, then seed by seed, the longest of a seed first.

    Any beginning of the order makes a readable table, and no long cell is left over at the end.
    """
    seeds = {seed: rank for rank, seed in enumerate(dict.fromkeys(c.seed for c in cells.values()))}

    def rank(cell: Cell) -> tuple[bool, int, int]:
        dense = cell.recipe.sparsity_schedule is None and cell.teacher is None
        return not dense, seeds[cell.seed], -timeline_of(cell).total_steps

    return {cell.id: cell for cell in sorted(cells.values(), key=rank)}
