"""How a worker process is started: its command line and its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Exit codes of a worker: done, failed, someone else has the cell, interrupted.
DONE, FAILED, TAKEN, INTERRUPTED = 0, 1, 3, 4

# glibc gives blocks beyond 32 MB, and what is free at the heap's end, back to the system at once; a
# training step asks for them again, page by page. Kept, a step takes about a sixth less time.
_KEEP_MEMORY = (
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.top_pad=67108864"
)

# How long a thread looks for work before it sleeps. Unpadded batches are many small pieces of work:
# libgomp's passive threads (0) are woken for each, its own default (300,000, libgomp's manual at
# GOMP_SPINCOUNT) holds a core that another process needs. Measured by benchmarks/workers.py, which
# says what either costs.
_SPIN = "4000"

PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def worker_command(
    relative: str | None,
    results: str,
    cache: str,
    data_root: str | None,
    execution: str,
    extra: tuple[str, ...] = (),
) -> list[str]:
    """Command line of a worker, which stops when this process is gone.

    Args:
        relative: The cell's folder below ``RESULTS/cells``, for one attempt at it; None for a
            worker that reads cells from its standard input (:mod:`smc_bench.dispatch.warm`).
        results: Results folder.
        cache: Cache of wheels and fetched rows.
        data_root: Local mirror of data sets, if there is one.
        execution: :class:`smc_bench.engine.recipe.Execution` as JSON.
        extra: Further options of the worker.
    """
    command = [sys.executable, "-m", "smc_bench.dispatch.worker", *([relative] if relative else [])]
    command += ["--results", results, "--cache", cache]
    command += ["--parent", str(os.getpid()), "--execution", execution]
    if data_root is not None:
        command += ["--data-root", data_root]
    return [*command, *extra]


def worker_environment(threads: int) -> dict[str, str]:
    """Environment of a worker: threads, memory, deterministic kernels, and this very package."""
    # Where a name comes twice, glibc takes the last: the user's.
    tunables = [_KEEP_MEMORY, *filter(None, [os.environ.get("GLIBC_TUNABLES")])]
    paths = [str(PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        # Workers that spin for each other's cores are many times slower than passive ones.
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", _SPIN),
        "GLIBC_TUNABLES": ":".join(tunables),
        "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def visible_gpus() -> tuple[str, ...]:
    """Ids of the GPUs that may be used, without torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part.strip())
    if shutil.which("nvidia-smi") is None:
        return ()
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return tuple(str(i) for i, _ in enumerate(done.stdout.strip().splitlines()) if _)
