"""``smc-bench status``: what is done, running, waiting, failed, lost or missing."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import click

from smc_bench.cli.common import Session, format_option, reading_command, say
from smc_bench.cli.formats import Form, print_rows
from smc_bench.cli.live import Display, describe, names_of
from smc_bench.cli.memory import MemoryBook
from smc_bench.cli.missing import missing_lines
from smc_bench.cli.output import echo
from smc_bench.dispatch.eta import Paces
from smc_bench.dispatch.slurm.states import Observation, observe
from smc_bench.dispatch.worker.command import visible_gpus
from smc_bench.store.joined import conflicts
from smc_bench.store.nearly import nearly, summary
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import timeline_of

_OVER = {"done", "damaged", "failed"}
# Between looks: a cluster's queue is not to be asked more often, the disk costs little.
_QUEUE_SECONDS, _DISK_SECONDS = 10.0, 2.0


@click.command("status")
@reading_command
@format_option
@click.option("--watch", is_flag=True, help="Renew until every cell is done or has failed.")
def command(session: Session, form: Form | None, watch: bool) -> None:
    """Show the state of every cell that is not done; the disk first, then one squeue, one sacct."""
    plan = session.plan()
    if watch and form is None:
        _watch(session, plan)
    seen = observe(session.store, plan.cells)
    if form is not None:
        notes = [*missing_lines(session, plan), *seen.problems]
        print_rows(_rows(plan, seen), form, plan=plan, notes=notes)
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


def _rows(plan: Plan, seen: Observation) -> list[dict[str, Any]]:
    """Every cell once, under the first arm that it stands for."""
    entries = {entry.cell.id: entry for entry in reversed(plan.entries)}
    return [
        {
            "id": key,
            "state": state.word,
            "why": state.why,
            "job": state.job,
            "task": entries[key].cell.task.name,
            "arm": entries[key].arm,
            "compare_at": entries[key].compare_at,
            "sparsity": entries[key].target,
            "seed": entries[key].cell.seed,
            "folder": entries[key].cell.folder,
        }
        for key, state in seen.states.items()
    ]


def _folders(plan: Plan) -> list[str]:
    return [cell.folder for cell in plan.cells.values()]


def _show(session: Session, plan: Plan, seen: Observation) -> None:
    search = nearly(session.store, plan.cells.values())
    near = search.near
    arms = {entry.cell.id: entry.arm for entry in reversed(plan.entries)}
    for key, cell in plan.cells.items():
        state = seen.states[key]
        if state.word == "done":
            continue
        if state.word == "missing" and key in near:
            state = replace(state, why=f"{near[key].id} differs in {', '.join(near[key].keys)}")
        what = f"{cell.task.name} {arms[key]}: {cell.slug}"
        if state.word == "running":
            progress = describe(cell, session.store.folder(cell.folder))
            what = f"{cell.task.name} {arms[key]}: {progress}"
        echo(f"{key}  {state.word:11s}  {what}" + (f": {state.why}" if state.why else ""))
    counts = Counter(state.word for state in seen.states.values())
    echo(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    for line in [*summary(session.store, search), *conflicts(session.store, _folders(plan))]:
        echo(line)
    if compared := MemoryBook(session, plan, seen.records).compared():
        echo(compared)
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
