"""How much of this machine there is to share out among cells."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_GIB_FOR_TWO = 8.0


def usable_cores() -> int:
    """Cores that this process may use: by affinity, and by a container's quota where it has one."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no such file, or "max": no quota
    return max(1, cores)


def default_jobs(gpus: int, cores: int, free_gib: float | None = None) -> int:
    """Cells at once where nobody says: one a GPU; without GPUs two, if there is room for two.

    Two cells of one thread each do more on two cores than one cell of two threads after the other
    (``benchmarks/workers.py`` measures it); more than two is not measured, so not the default.

    Args:
        gpus: GPUs that may be used.
        cores: Cores that may be used.
        free_gib: Free memory; asked of the machine if left out.
    """
    if gpus:
        return gpus
    free = psutil.virtual_memory().available / 2**30 if free_gib is None else free_gib
    return 2 if cores >= 2 and free >= _GIB_FOR_TWO else 1
