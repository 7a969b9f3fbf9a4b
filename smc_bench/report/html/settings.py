"""Settings and origins of cells: what all share is said once, and of each what is its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from smc_bench.store.record import Record
from smc_bench.suite.cell import Cell

Facts = dict[str, str]
"""Values as they are shown, by dotted key."""


def settings(cell: Cell) -> Facts:
    """Everything that makes a cell what it is, but for pins; keys as suites write them."""
    content = cell.model_dump(mode="json", exclude={"data_pins", "model_pin", "kind", "recipe"})
    return _flat(content | cell.recipe.model_dump(mode="json"))


def origin(record: Record) -> Facts:
    """Where a record came from: code, packages, machine, pins, times."""
    times = {"attempt": record.attempt, "started": record.started, "finished": record.finished}
    how = {
        "device": record.device,
        "threads": record.threads,
        "padding": record.padding,
        "training took": f"{record.train_seconds:.0f} s",
        "steps reused from a shared prefix": record.prefix_steps,
        "SHA-256 of the weights": record.weights_sha256,
    }
    return _flat(times | how | record.provenance)


def shared(all_facts: Mapping[str, Facts]) -> Facts:
    """What is the same for all, where there are two or more."""
    if len(all_facts) < 2:
        return {}
    first, *others = all_facts.values()
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def own(facts: Facts, common: Facts) -> Facts:
    """What is not shared."""
    return {key: value for key, value in facts.items() if key not in common}


def _flat(content: Mapping[str, Any], before: str = "") -> Facts:
    found: Facts = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{key}.")
        elif value is not None:
            found[f"{before}{key}"] = value if isinstance(value, str) else _shown(value)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return json.dumps(value)
