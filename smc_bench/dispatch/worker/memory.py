"""The most memory that an attempt took, as the machine counted it."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from smc_bench.store.record import PeakMemory

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MemoryWatch:
    """Counts from where it is made; of this process alone."""

    def __init__(self, device: Any) -> None:
        """Begin to count.

        Args:
            device: A ``torch.device``. On CUDA torch's own allocations count; elsewhere all that
                is resident, where a worker that ran other cells may still hold something of theirs.
        """
        import torch

        self.cuda = device.type == "cuda"
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before = int(torch.cuda.memory_allocated())
        else:
            self.reset = _reset_peak()
            self.before = _resident("VmRSS") or 0

    def read(self) -> PeakMemory:
        """The most so far."""
        import torch

        if self.cuda:
            peak = int(torch.cuda.max_memory_allocated())
            return PeakMemory(bytes=peak, before=self.before, of="cuda", at_most=False)
        peak = (_resident("VmHWM") if self.reset else None) or _all_time()
        return PeakMemory(bytes=peak, before=self.before, of="process", at_most=not self.reset)


def _reset_peak() -> bool:
    """Set Linux's high-water mark of this process to what it holds now (proc(5), clear_refs)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _resident(key: str) -> int | None:
    """A size of /proc/self/status in bytes, or None where there is none."""
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text("utf-8").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return None


def _all_time() -> int:
    """The most since the process began, earlier cells included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
