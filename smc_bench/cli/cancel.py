"""``smc-bench cancel``: take the cells of a suite out of SLURM's queue."""

from __future__ import annotations

import click

from smc_bench.cli.common import Session, say, suite_command
from smc_bench.dispatch.slurm.backend import cancel
from smc_bench.suite.only import select


@click.command("cancel")
@suite_command
@click.option("--only", multiple=True, metavar="KEY=VALUE", help="Only some cells, as for run.")
def command(session: Session, only: tuple[str, ...]) -> None:
    """Cancel the jobs of a suite's cells; what they have saved stays, and run goes on from it."""
    cells = select(session.plan(), only, teachers=not only)
    count = cancel(session.store, cells)
    say(f"cancelled {count} jobs" if count else "no cell is in the queue")
