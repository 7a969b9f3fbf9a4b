"""Is the process that holds a lease file still at it?

1. A lease that says that it has ended is over.
2. Where the process table that it names is this process's own (the same host name, boot and pid
   namespace), the table decides: the number is there and belongs to a process that started then.
3. Anywhere else, and where that can't be told, the heartbeat decides: the file was touched within
   the last :data:`STALE_SECONDS`. A fresh heartbeat is never overruled by a process number.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.holder import host_name, process_table, started_at

# A holder elsewhere that has not written for so long counts as dead.
HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 180.0
_SAME_START = 0.05


def lease_held(path: Path) -> bool:
    """Whether the holder named in a lease file still runs.

    Args:
        path: JSON of :func:`smc_bench.store.holder.holder`, touched now and then by its process;
            an ``ended`` in it gives it back.
    """
    try:
        lease, age = read_json(path), time.time() - path.stat().st_mtime
    except (StoreError, OSError):
        try:
            return time.time() - path.stat().st_mtime < HEARTBEAT_SECONDS
        except FileNotFoundError:
            return False
    if not isinstance(lease, dict) or lease.get("ended"):
        return False
    lives = _lives_here(lease)
    return age < STALE_SECONDS if lives is None else lives


def _lives_here(lease: dict[str, Any]) -> bool | None:
    """Whether the holder lives, by this process's own table; None if it has no say."""
    table, pid = lease.get("processes"), lease.get("pid")
    ours = table is not None and table == process_table() and lease.get("host") == host_name()
    if not ours or not isinstance(pid, int):
        return None
    try:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return False
        born, boot = started_at(pid)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None  # another user's, of whom this one may not see more
    try:
        theirs = float(lease["born"]) - float(lease["boot"])
    except (KeyError, TypeError, ValueError):
        return None
    return abs((born - boot) - theirs) < _SAME_START
