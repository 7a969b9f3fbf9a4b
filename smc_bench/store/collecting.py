"""Small records of what is finished, to commit: without weights, one compressed file a cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from smc_bench.errors import SmcBenchError
from smc_bench.store.incoming import Checked, Incoming, cells_of, checked
from smc_bench.store.merge import Outcome, What, compared
from smc_bench.store.packed import ENDING, pack
from smc_bench.store.store import Store


def collect(store: Store, records: Path) -> Iterator[Outcome]:
    """Keep small records of what is finished and reportable; a record that is there stays.

    Raises:
        StoreError: ``store`` is no results folder.
        OSError: The records can't be written.
    """
    for item in cells_of(store.root, store.root):
        try:
            found = checked(item)
            if not found.record.reportable:
                continue
            path = records / found.cell.task.name / f"{item.name}{ENDING}"
            if path.exists():
                outcome = _collect_times(path, found)
            else:
                pack(path, found.small(), found.curve)
                outcome = ("added", found.damage)
        except SmcBenchError as error:
            outcome = ("left out", str(error))
        yield Outcome(item.name[-12:], *outcome, item.shown)


def _collect_times(path: Path, found: Checked) -> tuple[What, str]:
    """A record that is there stays; what was measured of its weights since is added to it."""
    kept = checked(Incoming(path, str(path)))
    what, why = compared(kept.record, found.record)
    same = what == "there" and kept.record.weights_sha256 == found.record.weights_sha256
    if found.measured is None or not same:
        return what, why
    joined = found.measured.joined(kept.measured)
    if joined != kept.measured:
        pack(path, replace(kept, measured=joined).small(), kept.curve)
    return what, why
