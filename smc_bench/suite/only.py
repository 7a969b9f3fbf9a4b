"""``--only key=value``: a part of a plan, with the teachers that it needs."""

from __future__ import annotations

import math

from smc_bench.errors import SuiteError
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import DENSE_ARM, Entry, Plan
from smc_bench.suite.yaml_file import nearest

KEYS = ("arm", "task", "seed", "sparsity", "compare_at", "id")


def parse_filters(only: tuple[str, ...]) -> dict[str, list[str]]:
    """Values by key of ``key=value`` filters.

    Raises:
        SuiteError: If a filter is not ``key=value``, has an unknown key, or a value that its key
            can't have.
    """
    wanted: dict[str, list[str]] = {}
    for text in only:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or key not in KEYS:
            raise SuiteError(f"--only {text}: write key=value{nearest(key, list(KEYS))}")
        if key == "sparsity" and not 0.0 <= _share(value) < 1.0:
            raise SuiteError(f"--only {text}: write a share from 0 to 1, such as sparsity=0.5")
        if key == "seed" and not value.isdecimal():
            raise SuiteError(f"--only {text}: write a whole number, such as seed=1")
        wanted.setdefault(key, []).append(value)
    return wanted


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def select(plan: Plan, only: tuple[str, ...], *, teachers: bool = True) -> dict[str, Cell]:
    """Cells that match every ``key=value`` (values of the same key are alternatives).

    ``teachers`` adds those that the chosen cells need.

    Raises:
        SuiteError: If a filter is not ``key=value``, has an unknown key, or nothing matches.
    """
    wanted = parse_filters(only)
    chosen = {
        e.cell.id: e.cell for e in plan.entries if all(_is(e, k, v) for k, v in wanted.items())
    }
    if not chosen:
        hint = _nearest_value(plan, wanted)
        raise SuiteError(f"--only {' '.join(only)}: no cell of this suite matches{hint}")
    needed = {cell.teacher for cell in chosen.values()} if teachers else set()
    return {key: cell for key, cell in plan.cells.items() if key in chosen or key in needed}


def narrowed(plan: Plan, only: tuple[str, ...]) -> Plan:
    """A plan with the entries that match, and the dense cells of their tasks.

    Raises:
        SuiteError: See :func:`select`.
    """
    if not only:
        return plan
    wanted = parse_filters(only)
    select(plan, only)
    chosen = [e for e in plan.entries if all(_is(e, k, v) for k, v in wanted.items())]
    tasks = {e.cell.task for e in chosen}
    kept = {id(e) for e in chosen}
    kept |= {id(e) for e in plan.entries if e.arm == DENSE_ARM and e.cell.task in tasks}
    return Plan(plan.loaded, tuple(e for e in plan.entries if id(e) in kept))


def values(plan: Plan, key: str) -> list[str]:
    """What a plan has at a key of ``--only``, in its own order."""
    if key == "sparsity":
        return list(dict.fromkeys(f"{entry.target:g}" for entry in plan.entries))
    found = dict.fromkeys(_names(entry).get(key, "") for entry in plan.entries)
    return [value for value in found if value]


def _nearest_value(plan: Plan, wanted: dict[str, list[str]]) -> str:
    """What the first name that no cell has may have meant."""
    for key in ("arm", "task"):
        known = list(dict.fromkeys(_names(entry)[key] for entry in plan.entries))
        for value in wanted.get(key, []):
            if value not in known:
                return nearest(value, known)
    return ""


def _names(entry: Entry) -> dict[str, str]:
    return {
        "arm": entry.arm,
        "task": entry.cell.task.name,
        "seed": str(entry.cell.seed),
        "compare_at": entry.compare_at,
        "id": entry.cell.id,
    }


def _is(entry: Entry, key: str, values: list[str]) -> bool:
    if key == "sparsity":
        return any(abs(float(value) - entry.target) < 1e-9 for value in values)
    return _names(entry)[key] in values
