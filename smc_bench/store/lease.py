"""Is the process that holds a lease file still at it? By process here, else by heartbeat."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.holder import host_name

# A holder on another host that has not written for so long counts as dead.
HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 180.0


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
    if lease is None or lease.get("ended"):
        return False
    if lease["host"] != host_name():
        return age < STALE_SECONDS
    try:
        return bool(abs(psutil.Process(lease["pid"]).create_time() - lease["born"]) < 2.0)
    except psutil.Error:
        return False
