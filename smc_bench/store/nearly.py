"""Stored cells that are almost those of a plan: what keeps them from being found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.reading import read_cell
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell, difference


@dataclass(frozen=True)
class Near:
    """The finished cell that is nearest to a missing one.

    Attributes:
        id: Its id.
        keys: The settings in which it differs, in words.
    """

    id: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """What was found of some cells, and by id of those without a record, what is near to them."""

    total: int
    done: int
    near: dict[str, Near]


def nearly(store: Store, cells: Iterable[Cell]) -> Search:
    """Look for cells, and for those without a record the nearest finished one of the same name.

    The name of a folder (task, model, scorer, scope, sparsity, seed) decides which are compared, so
    that only few files are read. A finished one that is itself asked for is near to no other: arms
    of one suite differ as they should.
    """
    cells = list(cells)
    asked = {cell.id for cell in cells}
    lists: dict[str, dict[str, list[Path]]] = {}
    found: dict[str, Near] = {}
    total = done = 0
    for cell in cells:
        total += 1
        if any(os.path.exists(f"{root}/cells/{cell.folder}/record.json") for root in store.roots):
            done += 1
            continue
        task = cell.task.name
        if task not in lists:
            lists[task] = _by_slug(store, task)
        others = (p for p in lists[task].get(cell.slug, []) if p.name[-12:] not in asked)
        near = [_compared(cell, path) for path in others]
        nearest = min((n for n in near if n), key=lambda n: (len(n.keys), n.id), default=None)
        if nearest is not None:
            found[cell.id] = nearest
    return Search(total, done, found)


def summary(store: Store, search: Search) -> list[str]:
    """How many cells have a record, and what keeps others from being found, in words."""
    start = f"{search.done} of {search.total} found; "
    counts = Counter(found.keys for found in search.near.values())
    lines = [
        f"{start}{count} stored cells differ only in: {', '.join(keys)}"
        for keys, count in counts.most_common(5)
    ]
    if search.done or lines:
        return lines
    stored = sum(1 for root in store.roots for _ in (root / "cells").glob("*/*/record.json"))
    if not stored:
        return [f"{start}there are no results in {', '.join(map(str, store.roots))}"]
    return [
        f"{start}{stored} other cells are stored, none of the same task, model, method, sparsity "
        "and seed"
    ]


def _by_slug(store: Store, task: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for root in store.roots:
        with suppress(OSError), os.scandir(root / "cells" / task) as entries:
            for entry in entries:
                slug, dash, _ = entry.name.rpartition("-")
                if dash:
                    found.setdefault(slug, []).append(Path(entry.path))
    return found


def _compared(cell: Cell, folder: Path) -> Near | None:
    if not (folder / "record.json").exists():
        return None
    path = folder / "cell.json"
    try:
        content = read_json(path)
        if content is None:  # a record that was carried here alone
            content = (read_json(folder / "record.json") or {}).get("cell")
        other = read_cell(content, path)
    except (StoreError, AttributeError):
        return None
    return None if other.id == cell.id else Near(other.id, _words(cell, other))


def _words(cell: Cell, other: Cell) -> tuple[str, ...]:
    """The settings that differ, as a person who wrote the suite would call them."""
    same = other.model_copy(update={"identity_version": cell.identity_version})
    keys = difference(cell, same)
    words = [_word(key, theirs) for key, (_, theirs) in keys.items() if key != "teacher"]
    if other.identity_version != cell.identity_version:
        words.append(f"version of ids ({other.identity_version})")
    return tuple(dict.fromkeys(words)) or ("teacher",)


def _word(key: str, theirs: object) -> str:
    section, _, name = key.partition(".")
    if section == "data_pins":
        return "data pins"
    if key == "limit":
        return f"--limit {theirs}" if theirs is not None else "no --limit"
    if section == "recipe":
        return name
    return {
        "model_pin": "pin of the weights",
        "scorer_version": "version of the scorer",
        "task.version": "version of the task",
    }.get(key, key)
