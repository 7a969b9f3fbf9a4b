"""Work on a long batch of small matrices, a part at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

PART = 512
"""Matrices that a worker takes at a time: bounds its scratch, and keeps it near the cache."""

_WORKERS = 8


def workers() -> int:
    """How many parts are worked on side by side on a CPU."""
    return min(torch.get_num_threads(), _WORKERS)


def by_parts(blocks: int, work: Callable[[slice], None], device: torch.device) -> None:
    """Call ``work`` on slices of at most :data:`PART` blocks, on a CPU in a few threads.

    Torch factorises the matrices of a batch one by one, so whole parts are done side by side.
    """
    parts = [slice(i, min(i + PART, blocks)) for i in range(0, blocks, PART)]
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
        return

    def alone(part: slice) -> None:
        torch.set_num_threads(1)  # of this worker; the default of new threads is put back below
        work(part)

    try:
        with ThreadPoolExecutor(workers()) as pool:
            list(pool.map(alone, parts))
    finally:
        torch.set_num_threads(threads)
