"""``smc-bench logs``: what workers printed, why a cell failed, what its SLURM job said."""

from __future__ import annotations

import re
from pathlib import Path

import click

from smc_bench.cli import complete
from smc_bench.cli.common import fail, say
from smc_bench.cli.find import Asked
from smc_bench.cli.options import reading_results_option
from smc_bench.cli.output import echo
from smc_bench.cli.session import folders, reading
from smc_bench.dispatch.slurm.jobs import JobsFile
from smc_bench.errors import StoreError
from smc_bench.store.joined import store_of
from smc_bench.store.store import CellFolder

_TAIL = 20
_ID = re.compile(r"[0-9a-f]{1,12}")


@click.command("logs")
@click.argument("what", required=False, metavar="[ID|SUITE]", shell_complete=complete.ids)
@reading_results_option
def command(what: str | None, results: tuple[Path, ...]) -> None:
    """Print the worker's log, the last failure and the end of the SLURM job's log.

    Of the cell with this id; of a suite (without one: of the newest run) all cells that were begun
    and are not done.
    """
    store = store_of(folders(results))
    folder = store.by_id(what) if what is not None else None
    if folder is not None:
        _show(folder)
        return
    if what is not None and _ID.fullmatch(what):
        where = ", ".join(str(root / "cells") for root in store.roots)
        fail(f"no cell below {where} has an id that starts with {what!r} alone")
    plan = reading(Asked(what, None, (), None, results)).plan()
    found = [store.folder(cell.folder) for cell in plan.cells.values()]
    states = [folder.state() for folder in found]
    begun = [f for f, s in zip(found, states, strict=True) if s not in ("done", "missing")]
    for folder in begun:
        _show(folder)
    done, name = states.count("done"), plan.loaded.suite.name
    if not begun:
        say(f"{name}: {done} of {len(found)} cells done, no other was begun; logs ID shows one's")


def _show(folder: CellFolder) -> None:
    state = folder.state()
    echo(f"{folder.path}: {state}")
    if state == "done":
        _finished(folder)
    log = folder.path / "worker.log"
    text = log.read_text(encoding="utf-8", errors="replace").rstrip() if log.exists() else ""
    if text:
        echo(text)
    elif state != "missing":
        echo("its worker printed nothing")
    _slurm(folder)
    failure = folder.failure()
    if failure is not None:
        echo(f"{failure.type} at {failure.time}: {failure.message}")


def _finished(folder: CellFolder) -> None:
    try:
        record = folder.record()
    except StoreError:
        return
    if record is not None:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in record.metrics.items())
        echo(
            f"attempt {record.attempt}, finished {record.finished}: {record.total_steps} steps in "
            f"{record.train_seconds:.0f} s of training on {record.device}; {scores}"
        )


def _slurm(folder: CellFolder) -> None:
    results, key = folder.path.parents[2], folder.path.name.rpartition("-")[2]
    jobs = JobsFile(results).of_cells({key}).get(key, [])
    if not jobs:
        return
    echo(f"SLURM jobs: {', '.join(f'{job.job} ({job.submitted})' for job in jobs)}")
    for ending in ("out", "err"):
        log = jobs[-1].log(results, ending)
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            echo("\n".join([f"end of {log}:", *lines[-_TAIL:]]))
