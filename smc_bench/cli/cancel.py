"""``smc-bench cancel``: take the cells of a suite out of SLURM's queue."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from smc_bench.cli.common import Session, reading_command, say
from smc_bench.dispatch.slurm import queue as slurm_queue
from smc_bench.dispatch.slurm.states import observe
from smc_bench.errors import SlurmError
from smc_bench.suite.only import select


@click.command("cancel")
@partial(reading_command, named=True)
def command(session: Session) -> None:
    """Cancel the jobs of a suite's cells; what they have saved stays, and run goes on from it."""
    plan = replace(session, only=()).plan()
    cells = select(plan, session.only, teachers=not session.only)
    seen = observe(session.store, cells, accounts=False)
    if seen.problems:
        raise SlurmError(f"nothing was cancelled: {seen.problems[0]}")
    jobs = {state.job for state in seen.states.values() if state.job}
    hopeless = {
        job.job
        for submitted in seen.jobs.values()
        for job in submitted
        if (queued := seen.queued.get(job.job)) is not None and queued.hopeless
    }
    everything = sorted(jobs | hopeless)
    slurm_queue.cancel(everything)
    say(f"cancelled {len(everything)} jobs" if everything else "no cell is in the queue")
