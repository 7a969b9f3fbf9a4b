"""``smc-bench cancel``: take the cells of a suite out of SLURM's queue."""

from __future__ import annotations

import click

from smc_bench.cli.common import Session, say, suite_command
from smc_bench.dispatch.slurm import queue as slurm_queue
from smc_bench.dispatch.slurm.states import observe
from smc_bench.errors import SlurmError
from smc_bench.suite.only import select


@click.command("cancel")
@suite_command
@click.option("--only", multiple=True, metavar="KEY=VALUE", help="Only some cells, as for run.")
def command(session: Session, only: tuple[str, ...]) -> None:
    """Cancel the jobs of a suite's cells; what they have saved stays, and run goes on from it."""
    cells = select(session.plan(), only, teachers=not only)
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
