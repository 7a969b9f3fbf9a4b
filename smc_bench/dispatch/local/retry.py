"""A second try after too little memory: half the micro-batch, the same effective batch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from smc_bench.dispatch.worker.execution import read_fixed
from smc_bench.engine.execution import Execution
from smc_bench.errors import StoreError
from smc_bench.store.files import write_json
from smc_bench.store.store import CellFolder, Store, now
from smc_bench.suite.cell import Cell


def spare_memory(store: Store, cells: Iterable[Cell], execution: Execution) -> None:
    """Halve the micro-batch of those cells whose last failure was a lack of memory."""
    for cell in cells:
        folder = store.folder(cell.folder)
        failure = folder.failure()
        if failure is not None and failure.type == "out_of_memory" and folder.state() != "done":
            with suppress(StoreError):  # said when the cell is started
                halve_micro_batch(folder, cell, execution)


def halve_micro_batch(folder: CellFolder, cell: Cell, execution: Execution) -> int:
    """Halve a cell's micro-batch (at least 1 row) in ``execution.json``, and note it there.

    Gradients are accumulated over more, smaller micro-batches, so the effective batch stays what
    the cell's settings say. Sums in another order may move the last bits; the note says so.

    Returns:
        The new micro-batch, in rows.
    """
    path = folder.path / "execution.json"
    fixed: dict[str, Any] = read_fixed(folder) or {
        "execution": execution.model_dump(),
        "threads": None,
    }
    before = fixed["execution"].get("micro_batch") or cell.recipe.train.batch
    after = max(1, before // 2)
    fixed["execution"] = {**fixed["execution"], "micro_batch": after}
    note = {"from": before, "to": after, "why": "out_of_memory", "time": now()}
    fixed["micro_batch_halved"] = [*fixed.get("micro_batch_halved", []), note]
    write_json(path, fixed)
    return int(after)
