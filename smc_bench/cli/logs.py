"""``smc-bench logs``: what a cell's worker printed, why it failed, what its SLURM job said."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli.common import fail
from smc_bench.cli.output import echo
from smc_bench.dispatch.slurm.jobs import JobsFile
from smc_bench.store.store import Store

_TAIL = 20


@click.command("logs")
@click.argument("cell_id")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"))
def command(cell_id: str, results: Path) -> None:
    """Print the worker's log, the last failure and the end of the SLURM job's log of a cell."""
    folder = Store(results).by_id(cell_id)
    if folder is None:
        fail(f"no cell below {results / 'cells'} has an id that starts with {cell_id!r} alone")
    log = folder.path / "worker.log"
    echo(f"{folder.path}: {folder.state()}")
    if log.exists():
        echo(log.read_text(encoding="utf-8", errors="replace").rstrip())
    _slurm(results, folder.path.name.rsplit("-", 1)[-1])
    failure = folder.failure()
    if failure is not None:
        echo(f"{failure.type} at {failure.time}: {failure.message}")


def _slurm(results: Path, key: str) -> None:
    jobs = JobsFile(results).of_cells({key}).get(key, [])
    if not jobs:
        return
    echo(f"SLURM jobs: {', '.join(f'{job.job} ({job.submitted})' for job in jobs)}")
    for ending in ("out", "err"):
        log = jobs[-1].log(results, ending)
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            echo("\n".join([f"end of {log}:", *lines[-_TAIL:]]))
