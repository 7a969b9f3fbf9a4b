"""Which cells of a run share a prefix, up to their first pruning event, and share those steps."""

from __future__ import annotations

from collections.abc import Iterable

from smc_bench.engine.prefix import prefix_content, prefix_steps
from smc_bench.suite.cell import Cell, canonical_json
from smc_bench.suite.length import timeline_of


def reused_steps(cells: Iterable[Cell]) -> dict[str, int]:
    """Steps that each cell need not take itself, by id, of all cells that share some.

    The first of each group, in the order given, takes them for all: it has 0. By the task's nominal
    number of rows; whether two cells share a prefix, the engine decides by what it trains on.
    """
    groups: dict[str, list[str]] = {}
    steps: dict[str, int] = {}
    for cell in cells:
        steps[cell.id] = prefix_steps(cell.recipe, timeline_of(cell), cell.limit)
        if steps[cell.id]:
            groups.setdefault(_prefix(cell), []).append(cell.id)
    shared = [group for group in groups.values() if len(group) > 1]
    return {key: steps[key] if at else 0 for group in shared for at, key in enumerate(group)}


def _prefix(cell: Cell) -> str:
    return canonical_json(
        {
            "task": cell.task.model_dump(mode="json"),
            "data": cell.data_pins[cell.task.train_split],
            "model": cell.model_pin,
            "seed": cell.seed,
            "teacher": cell.teacher,
            "prefix": prefix_content(cell.recipe, timeline_of(cell)),
        }
    )
