"""Which failure an exception, or a process's end, stands for."""

from __future__ import annotations

import traceback
from pathlib import Path

from safetensors import SafetensorError

from smc_bench.dispatch.worker.command import INTERRUPTED
from smc_bench.errors import (
    AuditError,
    CorruptDataError,
    DamagedError,
    DivergedError,
    MissingDataError,
    RankLostError,
    SmcBenchError,
    disk_is_full,
)
from smc_bench.store.record import Failure, FailureType
from smc_bench.store.store import CellFolder, now

_TYPES: tuple[tuple[type[BaseException], FailureType], ...] = (
    (DivergedError, "diverged"),
    (AuditError, "audit_failed"),
    (MissingDataError, "missing_data"),
    (DamagedError, "invalid"),
    (CorruptDataError, "missing_data"),
    (MemoryError, "out_of_memory"),
    (RankLostError, "killed"),
    (SmcBenchError, "invalid"),
    (SafetensorError, "invalid"),
)


def failure_of(error: BaseException, attempt: int) -> Failure:
    """A typed failure; the traceback is kept in the file, not shown."""
    return Failure(
        type=_type(error),
        message=str(error).strip() or type(error).__name__,
        traceback="".join(traceback.format_exception(error)),
        attempt=attempt,
        time=now(),
    )


def failure_of_end(code: int, attempt: int, log: Path) -> Failure:
    """What the end of a worker stands for that left no word: its exit code is all there is."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    hint = " (the kernel's out-of-memory killer sends this)" if code == -9 else ""
    message = f"the worker ended by {how}{hint}; see {log}"
    return Failure(type="killed", message=message, attempt=attempt, time=now())


def settle_end(folder: CellFolder, code: int, *, blame: bool = True) -> None:
    """Settle a cell whose worker has ended: believe the folder.

    The exit code only explains a folder that says nothing. Who sees a worker end must call this:
    other machines see only the lease, and would believe it for minutes.

    Args:
        folder: The cell's.
        code: The worker's exit code, negative for a signal.
        blame: Whether a failure is written; not where the worker was ended on purpose.

    Raises:
        OSError, StoreError: If that can't be written.
    """
    if code == INTERRUPTED or folder.state() not in {"interrupted", "missing"}:
        return
    attempt = folder.latest_attempt() or 0
    if attempt:
        folder.end_attempt(attempt, "killed")
    if blame:
        folder.write_failure(failure_of_end(code, attempt, folder.path / "worker.log"))


def _type(error: BaseException) -> FailureType:
    for kind, name in _TYPES:
        if isinstance(error, kind):
            return name
    if isinstance(error, OSError) and disk_is_full(error):
        return "disk_full"
    text = str(error)
    if "No space left" in text:
        return "disk_full"
    # torch raises OutOfMemoryError on a GPU and a plain RuntimeError on a CPU.
    if "out of memory" in text or "can't allocate memory" in text:
        return "out_of_memory"
    return "bug"
