"""``smc-bench cancel``: take the cells of a suite out of SLURM's queue."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from smc_bench.cli.common import Session, reading_command, say
from smc_bench.dispatch.slurm.backend import cancel
from smc_bench.suite.only import select


@click.command("cancel")
@partial(reading_command, named=True)
def command(session: Session) -> None:
    """Cancel the jobs of a suite's cells; what they have saved stays, and run goes on from it."""
    plan = replace(session, only=()).plan()
    cells = select(plan, session.only, teachers=not session.only)
    count = cancel(session.store, cells)
    say(f"cancelled {count} jobs" if count else "no cell is in the queue")
