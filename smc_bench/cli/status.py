"""``smc-bench status``: what is done, running, waiting, failed, lost or missing."""

from __future__ import annotations

import time
from collections import Counter

import click

from smc_bench.cli.common import Session, json_option, print_json, say, suite_command
from smc_bench.cli.live import Display, describe, names_of
from smc_bench.cli.output import echo
from smc_bench.dispatch.eta import Paces
from smc_bench.dispatch.slurm.states import Observation, observe
from smc_bench.dispatch.worker.command import visible_gpus
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import timeline_of

_OVER = {"done", "damaged", "failed"}
# Between looks: a cluster's queue is not to be asked more often, the disk costs little.
_QUEUE_SECONDS, _DISK_SECONDS = 10.0, 2.0


@click.command("status")
@suite_command
@json_option
@click.option("--watch", is_flag=True, help="Renew until every cell is done or has failed.")
def command(session: Session, as_json: bool, watch: bool) -> None:
    """Show the state of every cell that is not done; the disk first, then one squeue, one sacct."""
    plan = session.plan()
    if watch and not as_json:
        _watch(session, plan)
    seen = observe(session.store, plan.cells)
    if as_json:
        print_json({key: state.word for key, state in seen.states.items()})
    else:
        _show(session, plan, seen)


def _watch(session: Session, plan: Plan) -> None:
    """Show a display until every cell is done or has failed."""
    paces = Paces(session.store, gpu=bool(visible_gpus()))
    header = (f"{plan.loaded.suite.name} ({plan.loaded.profile}), results in {session.store.root}",)
    display = Display(plan.cells, session.store, paces, header=header, names=names_of(plan), jobs=0)
    try:
        while True:
            seen = observe(session.store, plan.cells, accounts=False)
            display.show(seen.states)
            if all(state.word in _OVER for state in seen.states.values()):
                return
            time.sleep(_QUEUE_SECONDS if seen.jobs else _DISK_SECONDS)
    finally:
        display.close()


def _show(session: Session, plan: Plan, seen: Observation) -> None:
    for key, cell in plan.cells.items():
        state = seen.states[key]
        if state.word == "done":
            continue
        what = cell.slug
        if state.word == "running":
            what = describe(cell, session.store.folder(cell.folder))
        echo(f"{key}  {state.word:11s}  {what}" + (f": {state.why}" if state.why else ""))
    counts = Counter(state.word for state in seen.states.values())
    echo(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    if seen.jobs:
        echo(_hours(session, plan, seen))
    for problem in seen.problems:
        say(f"SLURM could not be asked: {problem}")


def _hours(session: Session, plan: Plan, seen: Observation) -> str:
    """GPU-hours and job-hours so far (all starts of all jobs), and about how many are left."""
    gpus = {job.job: job.gpus for jobs in seen.jobs.values() for job in jobs}
    seconds = seen.job_seconds()
    job_hours = sum(seconds.values()) / 3600.0
    gpu_hours = sum(seconds[job] * gpus[job] for job in seconds) / 3600.0
    text = f"GPU-hours used {gpu_hours:.2f} (job-hours {job_hours:.2f})"
    steps = {key: timeline_of(cell).total_steps for key, cell in plan.cells.items()}
    done = [key for key, state in seen.states.items() if state.word == "done" and key in seen.jobs]
    left = sum(count for key, count in steps.items() if seen.states[key].word != "done")
    taken = sum(steps[key] for key in done)
    if taken and left:
        share = left / taken
        text += f", left about {gpu_hours * share:.2f} ({job_hours * share:.2f})"
    return text
