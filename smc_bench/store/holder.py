"""Who holds an attempt: host, process and, inside a SLURM job, the job and its restart."""

from __future__ import annotations

import os
import socket
from typing import Any

import psutil


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


def holder() -> dict[str, Any]:
    """This process, as an attempt's lease names it."""
    found: dict[str, Any] = {
        "host": host_name(),
        "pid": os.getpid(),
        "born": psutil.Process().create_time(),
    }
    job = slurm_job()
    if job is not None:
        found |= {"slurm_job": job, "slurm_restarts": slurm_restarts()}
    return found
