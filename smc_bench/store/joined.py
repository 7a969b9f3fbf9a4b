"""Several results folders read as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.store import CellFolder, Store


class JoinedStore(Store):
    """Looks for each cell in all of some results folders; what is written goes to the first."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Nothing is looked at before it is asked for."""
        super().__init__(roots[0])
        self.stores = tuple(Store(root) for root in dict.fromkeys(roots))

    @property
    def roots(self) -> tuple[Path, ...]:
        """The results folders."""
        return tuple(store.root for store in self.stores)

    def folder(self, relative: str) -> CellFolder:
        """The folder of a cell: the first with a record, else the first that is there."""
        found = [store.folder(relative) for store in self.stores]
        done = (folder for folder in found if (folder.path / "record.json").exists())
        there = (folder for folder in found if folder.path.exists())
        return next(done, None) or next(there, found[0])

    def by_id(self, cell_id: str) -> CellFolder | None:
        """The folder of the only cell, in any of them, whose id starts so."""
        found = {f.relative for store in self.stores for f in store.matching(cell_id)}
        return self.folder(found.pop()) if len(found) == 1 else None


def conflicts(store: Store, relatives: Iterable[str]) -> list[str]:
    """Cells whose records in several results folders have other scores, in words."""
    found = []
    for relative in relatives if len(store.roots) > 1 else ():
        scores = {}
        for root in store.roots:
            with suppress(StoreError, AttributeError):
                record = read_json(root / "cells" / relative / "record.json")
                if record is not None:
                    scores[root] = record.get("metrics")
        kept = list(scores)
        differing = [root for root in kept if scores[root] != scores[kept[0]]]
        if differing:
            found.append(f"{relative}: {kept[0]} is shown; other scores are in {differing[0]}")
    return found


def store_of(roots: Sequence[Path]) -> Store:
    """One results folder, or several as one."""
    return Store(roots[0]) if len(set(roots)) == 1 else JoinedStore(roots)
