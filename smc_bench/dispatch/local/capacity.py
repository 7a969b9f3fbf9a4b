"""How much of this machine there is, and how cells share it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from smc_bench.environment import asked_threads

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_GIB_FOR_TWO = 8.0


@dataclass(frozen=True)
class Machine:
    """What cells are shared out over.

    Attributes:
        jobs: Cells at once at most.
        cores: Threads that cells share out: the cores that may be used, or what was asked for.
        gpus: Whether cells run on GPUs, so that cores do not bound their number.
    """

    jobs: int
    cores: int
    gpus: bool = False


def this_machine(jobs: int | None, gpus: Sequence[str], threads: int | None = None) -> Machine:
    """This machine, with as many jobs as asked for, or the default.

    Args:
        jobs: Cells at once, or None for the default.
        gpus: GPUs that may be used.
        threads: Threads of all cells together, or None for :func:`budget`'s default.
    """
    cores = usable_cores()
    jobs = jobs or default_jobs(len(gpus), cores)
    return Machine(jobs, budget(threads, jobs, cores), bool(gpus))


def budget(asked: int | None, jobs: int, cores: int) -> int:
    """Threads that all cells of a run share out: those asked for, else the user's, else the cores.

    The user's are those of ``OMP_NUM_THREADS``. It speaks of one process, so it does not make jobs
    wait for each other that have a core each: there are at least as many threads as such jobs.

    Args:
        asked: What the command line says, or None.
        jobs: Cells at once at most.
        cores: Cores that may be used.
    """
    return max(asked or asked_threads(os.environ) or cores, min(jobs, cores))


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


def share(cores: int, jobs: int, running: int, ready: int) -> int:
    """Threads of a cell that starts now: cores over the cells that will run beside it.

    Args:
        cores: Cores that may be used.
        jobs: Cells at once at most.
        running: Cells that run already.
        ready: Cells that start now.
    """
    return max(1, cores // max(1, min(jobs, running + ready)))


def fits(cores: int, taken: int, threads: int) -> bool:
    """Whether a cell of ``threads`` may start while others have ``taken``; one always may."""
    return taken == 0 or taken + threads <= cores
