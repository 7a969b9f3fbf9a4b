"""``execution.json``: what the first attempt fixes, so that resumed weights are bit-equal."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.execution import Execution
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, write_json
from smc_bench.store.store import CellFolder, now

_log = logging.getLogger(__name__)


def read_fixed(folder: CellFolder) -> dict[str, Any] | None:
    """What ``execution.json`` says, or None before the first attempt.

    Raises:
        StoreError: It can't be read, or says nothing that can be.
    """
    path = folder.path / "execution.json"
    content = read_json(path)
    if content is None and not path.exists():
        return None
    known = isinstance(content, dict)
    numbers = [content.get("threads"), content.get("processes")] if known else [0]
    good = all(n is None or (type(n) is int and n > 0) for n in numbers)
    try:
        Execution.model_validate(content["execution"] if good else None)
    except (ValidationError, KeyError):
        raise StoreError(
            f"{path}: does not say in how many threads and processes the cell began; remove it to "
            "go on with other ones (its last bits may then differ), or its checkpoints too to "
            "begin again"
        ) from None
    fixed: dict[str, Any] = content
    return fixed


def fix_execution(
    folder: CellFolder, batch: int, execution: Execution, processes: int
) -> Execution:
    """The first attempt's micro-batch and threads; threads are set for this process.

    The number of processes is what the attempt was started with. Where that is not what the first
    one had (other GPUs, another launcher), the cell goes on all the same, and a note in the record
    says so: chunks and sums may differ, in the last bits and in dropout noise.

    Args:
        folder: The cell's.
        batch: Rows of an optimizer step.
        execution: What this attempt was asked for.
        processes: How many train the cell.
    """
    import torch

    path = folder.path / "execution.json"
    fixed: dict[str, Any] = read_fixed(folder) or {
        "execution": execution.model_dump(),
        "threads": None,
    }
    before = dict(fixed)
    if fixed.get("threads") is None:
        fixed["threads"], fixed["processes"] = torch.get_num_threads(), processes
    elif fixed.get("processes", 1) != processes:
        _note(fixed, processes)
    if processes > 1:
        # No micro-batch larger than a process's share, or some would have nothing to do.
        micro = min(fixed["execution"].get("micro_batch") or batch, -(-batch // processes))
        fixed["execution"] = {**fixed["execution"], "micro_batch": micro}
    # Gives the same numbers, so the newest attempt decides: one for which memory was too little.
    if fixed["execution"].get("gradient_checkpointing", False) != execution.gradient_checkpointing:
        again = execution.gradient_checkpointing
        fixed["execution"] = {**fixed["execution"], "gradient_checkpointing": again}
    if fixed != before:
        write_json(path, fixed)
    torch.set_num_threads(int(fixed["threads"]))
    first = Execution.model_validate(fixed["execution"])
    return execution.model_copy(update={"micro_batch": first.micro_batch})


def _note(fixed: dict[str, Any], processes: int) -> None:
    note = {"from": fixed.get("processes", 1), "to": processes, "time": now()}
    _log.warning(
        "this cell goes on with %d processes, not the %d of before: its weights will not have the "
        "bits of an uninterrupted run, which its record says",
        processes,
        note["from"],
    )
    fixed["processes_changed"] = [*fixed.get("processes_changed", []), note]
    fixed["processes"] = processes
