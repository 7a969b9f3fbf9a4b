"""How a worker process is started: its command line and its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from smc_bench.environment import fixed, passed, python_path

# Exit codes of a worker: done, failed, someone else has the cell, interrupted.
DONE, FAILED, TAKEN, INTERRUPTED = 0, 1, 3, 4

# How long a thread looks for work before it sleeps. Unpadded batches are many small pieces of work:
# libgomp's passive threads (0) are woken for each, its own default (300,000, libgomp's manual at
# GOMP_SPINCOUNT) holds a core that another process needs. Measured by benchmarks/workers.py, which
# says what either costs.
_SPIN = "4000"

PACKAGE_PARENT = Path(__file__).resolve().parents[3]

# -P: Python's -m would put the current folder before all others, and import what lies there.
WORKER = (sys.executable, "-P", "-m", "smc_bench.dispatch.worker.main")


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
            worker that reads cells from its standard input (:mod:`serve`).
        results: Results folder.
        cache: Cache of wheels and fetched rows.
        data_root: Local mirror of data sets, if there is one.
        execution: :class:`smc_bench.engine.recipe.Execution` as JSON.
        extra: Further options of the worker.
    """
    command = [*WORKER, *([relative] if relative else [])]
    command += ["--results", results, "--cache", cache]
    command += ["--parent", str(os.getpid()), "--execution", execution]
    if data_root is not None:
        command += ["--data-root", data_root]
    return [*command, *extra]


def worker_environment(threads: int) -> dict[str, str]:
    """Environment of a worker: what may pass, threads, memory, and this very package.

    See :mod:`smc_bench.environment`.
    """
    given = passed(os.environ)
    given |= {"GOMP_SPINCOUNT": given.get("GOMP_SPINCOUNT", _SPIN)}
    given |= {"OMP_NUM_THREADS": str(threads), **fixed(os.environ)}
    path = python_path(os.environ, PACKAGE_PARENT)
    return {**given, "PYTHONPATH": path} if path else given


def visible_gpus() -> tuple[str, ...]:
    """Ids of the GPUs that may be used, without torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part.strip())
    if shutil.which("nvidia-smi") is None:
        return ()
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return tuple(str(i) for i, _ in enumerate(done.stdout.strip().splitlines()) if _)
