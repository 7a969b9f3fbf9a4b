"""What finished cells of this machine took, read from their records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from smc_bench.errors import StoreError, SuiteError
from smc_bench.store.files import read_json
from smc_bench.store.provenance import processor
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import steps_of
from smc_bench.suite.predict import Timing, shape_of

_A_SHAPE = 8
"""Records that are read of each shape: more would not change a mean, but cost `plan` its speed."""


def timing_of(cell: Cell, folder: CellFolder, *, gpu: bool) -> Timing | None:
    """What a finished cell took, if that says something about this machine.

    It does where one attempt did it all, on the same kind of device and the same processor.

    Args:
        cell: The cell.
        folder: Its folder.
        gpu: Whether cells run on a GPU here.
    """
    try:
        record: dict[str, Any] | None = read_json(folder.path / "record.json")
        if record is None or record["attempt"] != 1:
            return None
        if record["device"].startswith("cuda") != gpu:
            return None
        if not gpu and record["provenance"].get("processor") != processor():
            return None
        train = float(record["train_seconds"])
        whole = (_time(record["finished"]) - _time(record["started"])).total_seconds()
        weights = int(record["sparsity"]["encoder"]["total"])
        around = max(0.0, whole - train)
        # In nominal steps, as all of a prediction.
        share = int(record.get("prefix_steps", 0)) / max(1, int(record["total_steps"]))
        spared = round(share * steps_of(cell))
        return Timing(cell, int(record["threads"]), train, around, weights, spared)
    except (StoreError, SuiteError, KeyError, TypeError, ValueError, AttributeError):
        # A damaged record is said by the verbs that need it; of a schedule whose plug-in is not
        # loaded nobody knows the length.
        return None


def timings_of(store: Store, cells: Iterable[Cell], *, gpu: bool) -> list[Timing]:
    """Timings of finished cells, a few of each shape."""
    found: list[Timing] = []
    count: dict[tuple[object, ...], int] = {}
    for cell in cells:
        shape = shape_of(cell)
        if count.get(shape, 0) >= _A_SHAPE:
            continue
        timing = timing_of(cell, store.folder(cell.folder), gpu=gpu)
        if timing is not None:
            count[shape] = count.get(shape, 0) + 1
            found.append(timing)
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
