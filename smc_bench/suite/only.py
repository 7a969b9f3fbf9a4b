"""``--only key=value``: a part of a plan, with the teachers that it needs."""

from __future__ import annotations

from smc_bench.errors import SuiteError
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Entry, Plan
from smc_bench.suite.yaml_file import nearest

KEYS = ("arm", "task", "seed", "sparsity", "compare_at", "id")


def select(plan: Plan, only: tuple[str, ...], *, teachers: bool = True) -> dict[str, Cell]:
    """Cells that match every ``key=value`` (values of the same key are alternatives).

    ``teachers`` adds those that the chosen cells need.

    Raises:
        SuiteError: If a filter is not ``key=value``, has an unknown key, or nothing matches.
    """
    wanted: dict[str, list[str]] = {}
    for text in only:
        key, equals, value = text.partition("=")
        if not equals or key not in KEYS:
            raise SuiteError(f"--only {text}: write key=value{nearest(key, list(KEYS))}")
        wanted.setdefault(key, []).append(value)
    chosen = {
        e.cell.id: e.cell for e in plan.entries if all(_is(e, k, v) for k, v in wanted.items())
    }
    if not chosen:
        raise SuiteError(f"--only {' '.join(only)}: no cell of this suite matches")
    needed = {cell.teacher for cell in chosen.values()} if teachers else set()
    return {key: cell for key, cell in plan.cells.items() if key in chosen or key in needed}


def _is(entry: Entry, key: str, values: list[str]) -> bool:
    if key == "sparsity":
        return any(abs(float(value) - entry.target) < 1e-9 for value in values)
    actual = {
        "arm": entry.arm,
        "task": entry.cell.task.name,
        "seed": str(entry.cell.seed),
        "compare_at": entry.compare_at,
        "id": entry.cell.id,
    }
    return actual[key] in values
