"""Who holds an attempt: host, process and, inside a SLURM job, the job and its restart.

A process number means something within one pid namespace of one running kernel alone: two
containers with the same host name may both have a process 7. So a lease says which namespace and
which boot its number is of, and when the process started.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def host_name() -> str:
    """This machine's name; in a SLURM job the node's, by which SLURM tells nodes apart."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def slurm_job() -> str | None:
    """This process's job as squeue prints it (``12``, or ``12_3`` in an array), if it is in one."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def slurm_restarts() -> int:
    """How often SLURM has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def process_table() -> str | None:
    """Names the processes among which this one's number is unique; None where that is not known.

    On Linux the boot and the pid namespace; on macOS, which has no namespaces, the boot.
    """
    if sys.platform == "darwin":
        return f"boot {psutil.boot_time():.0f}"
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None  # /proc shows the processes of another namespace
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def started_at(pid: int) -> tuple[float, float]:
    """When a process and this machine started, in seconds since 1970.

    Both follow the machine's clock when that is corrected; their difference does not.

    Raises:
        psutil.Error: There is no such process, or it is not to be seen.
    """
    boot = psutil.boot_time()  # first: psutil counts the other from the boot time it last read
    return float(psutil.Process(pid).create_time()), float(boot)


def holder() -> dict[str, Any]:
    """This process, as an attempt's lease names it."""
    table = process_table()
    born, boot = (0.0, 0.0) if table is None else started_at(os.getpid())
    found: dict[str, Any] = {
        "host": host_name(),
        "pid": os.getpid(),
        "born": born,
        "boot": boot,
        "processes": table,
    }
    job = slurm_job()
    if job is not None:
        found |= {"slurm_job": job, "slurm_restarts": slurm_restarts()}
    return found
