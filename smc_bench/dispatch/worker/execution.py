"""``execution.json``: what the first attempt fixes, so that resumed weights are bit-equal."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.recipe import Execution
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, write_json
from smc_bench.store.store import CellFolder, now


def read_kept(folder: CellFolder) -> dict[str, Any] | None:
    """What ``execution.json`` says, or None before the first attempt.

    Raises:
        StoreError: It can't be read, or says nothing that can be.
    """
    path = folder.path / "execution.json"
    kept = read_json(path)
    if kept is None and not path.exists():
        return None
    numbers = [kept.get("threads"), kept.get("processes")] if isinstance(kept, dict) else [0]
    good = all(n is None or (type(n) is int and n > 0) for n in numbers)
    try:
        Execution.model_validate(kept["execution"] if good else None)
    except (ValidationError, KeyError):
        raise StoreError(
            f"{path}: does not say in how many threads and parts the cell began; remove it to go "
            "on with other ones (its last bits may then differ), or its checkpoints too to begin "
            "again"
        ) from None
    found: dict[str, Any] = kept
    return found


def keep(folder: CellFolder, batch: int, execution: Execution, processes: int) -> Execution:
    """The first attempt's micro-batch and threads; threads are set for this process.

    The number of processes is what the attempt was started with. Where that is not what the first
    one had (other GPUs, another launcher), the cell goes on all the same, and a note in the record
    says so: parts and sums may differ, in the last bits and in dropout noise.

    Args:
        folder: The cell's.
        batch: Rows of an optimizer step.
        execution: What this attempt was asked for.
        processes: How many train the cell.
    """
    import torch

    path = folder.path / "execution.json"
    kept: dict[str, Any] = read_kept(folder) or {
        "execution": execution.model_dump(),
        "threads": None,
    }
    before = dict(kept)
    if kept.get("threads") is None:
        kept["threads"], kept["processes"] = torch.get_num_threads(), processes
    elif kept.get("processes", 1) != processes:
        _note(kept, processes)
    if processes > 1:
        # No part larger than a process's share, or some would have nothing to do.
        micro = min(kept["execution"].get("micro_batch") or batch, -(-batch // processes))
        kept["execution"] = {**kept["execution"], "micro_batch": micro}
    if kept != before:
        write_json(path, kept)
    torch.set_num_threads(int(kept["threads"]))
    first = Execution.model_validate(kept["execution"])
    return execution.model_copy(update={"micro_batch": first.micro_batch})


def _note(kept: dict[str, Any], processes: int) -> None:
    note = {"from": kept.get("processes", 1), "to": processes, "time": now()}
    print(
        f"this cell goes on with {processes} processes, not the {note['from']} of before: its "
        "weights will not have the bits of an uninterrupted run, which its record says",
        file=sys.stderr,
    )
    kept["processes_changed"] = [*kept.get("processes_changed", []), note]
    kept["processes"] = processes
