from __future__ import annotations

import errno

import pytest
import torch

from smc_bench.dispatch.failures import failure_of
from smc_bench.errors import AuditError, CorruptDataError, DivergedError, MissingDataError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DivergedError("loss"), "diverged"),
        (AuditError("zeros"), "audit_failed"),
        (MissingDataError("rows"), "missing_data"),
        (CorruptDataError("hash"), "missing_data"),
        (MemoryError(), "out_of_memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "out_of_memory",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (KeyError("x"), "bug"),
    ],
)
def test_failures_are_typed(error: BaseException, expected: str) -> None:
    found = failure_of(error, 3)
    assert (found.type, found.attempt) == (expected, 3)
    assert found.message


def test_out_of_memory_of_torch_itself() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert failure_of(caught.value, 1).type == "out_of_memory"
