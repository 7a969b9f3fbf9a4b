"""A worker that stays for the next cell: importing torch and transformers takes seconds a process.

What it is told comes as one JSON line a cell on standard input (``{"cell": FOLDER, "threads": N}``;
the end of input ends it). It says one line on standard output, ``{"free": FOLDER}``, when the cell
is done and it can take another. Results go through the cell's folder alone, as ever. It stays only
after a cell that is done: after a failure, a stop or anything unforeseen the process ends with that
attempt's exit code, so nothing that went wrong is left behind for the next cell.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from smc_bench.store.store import Store

DONE = 0
MOST_CELLS = 50
MOST_GROWTH = 512 << 20
"""Bytes by which a worker may hold more between cells than after its first one."""


def serve(attempt: Callable[[str], int], store: Store) -> int:
    """Attempt the cells that standard input names, one after the other.

    Args:
        attempt: Runs one attempt at the cell of a folder; returns its exit code.
        store: Where the folders are.

    Returns:
        Exit code of the last attempt.
    """
    requests, replies = _take_pipes()
    first_rest = 0
    _end_on_signals()
    for count in range(1, MOST_CELLS + 1):
        line = requests.readline()
        if not line:
            return DONE
        request = json.loads(line)
        _log_to(store.folder(request["cell"]).path / "worker.log")
        environment = dict(os.environ)
        _as_if_fresh(request["threads"])
        code = attempt(request["cell"])
        if code != DONE:
            return code
        _restore(environment)
        _end_on_signals()  # before it says that it is free
        rest = release_memory()
        first_rest = first_rest or rest
        if count < MOST_CELLS and rest - first_rest <= MOST_GROWTH:
            os.write(replies, json.dumps({"free": request["cell"]}).encode() + b"\n")
        else:
            break
    return DONE


def _take_pipes() -> tuple[IO[bytes], int]:
    """Keep the two ends for ourselves: what a cell prints or starts must not touch them."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, replies


def _end_on_signals() -> None:
    # Between cells nothing is to be saved, and the last cell's handlers would only note the signal.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)


def _log_to(path: Path) -> None:
    """Send everything that is printed, by Python or by a library below it, to a cell's log."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)


def _as_if_fresh(threads: int) -> None:
    """Put back what a cell may find changed by the one before it.

    Before the first cell torch is not there yet: the environment sets the threads, and those of
    the processes that a cell may be trained in.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
        # The seed that torch starts with; a cell seeds anew before all that it draws.
        torch.manual_seed(torch.Generator().initial_seed())


def _restore(environment: dict[str, str]) -> None:
    """Undo what libraries set in the environment (accelerate does), and flush what was printed."""
    for key in os.environ.keys() - environment.keys():
        del os.environ[key]
    for key, value in environment.items():
        if os.environ.get(key) != value:
            os.environ[key] = value
    sys.stdout.flush()
    sys.stderr.flush()


def release_memory() -> int:
    """Collect garbage and return free memory to the system.

    Returns:
        Bytes that the process still holds.
    """
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)
