"""``run --slurm``: options, submission, and the live view of ``--wait``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from smc_bench.cli.common import Command, Session, say
from smc_bench.cli.fetch import fetch_inputs
from smc_bench.cli.live import describe
from smc_bench.dispatch.inputs.offline import missing
from smc_bench.dispatch.slurm.options import from_command_line, merged, named_cluster
from smc_bench.dispatch.slurm.states import Observation, observe
from smc_bench.dispatch.slurm.submit import Report, Submitter
from smc_bench.engine.recipe import Execution
from smc_bench.errors import MissingDataError, SlurmError
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import timeline_of
from smc_bench.suite.slurm_section import SlurmSection

_POLL_SECONDS = 5.0
# squeue is asked this often; the disk, which costs the cluster nothing, in between.
_POLLS_BETWEEN_SQUEUE = 4

_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option("--slurm", is_flag=True, help="Submit to SLURM and return."),
    click.option("--wait", is_flag=True, help="With --slurm: follow until nothing is left to do."),
    click.option("--cluster", metavar="NAME", help="A named cluster of your clusters.yaml."),
    click.option("--partition", help="SLURM partition."),
    click.option("--account", help="SLURM account."),
    click.option("--qos", help="SLURM quality of service."),
    click.option("--constraint", help="Features that a node must have."),
    click.option("--time", metavar="4h", help="Time limit of a job; longer cells are requeued."),
    click.option("--gpus", type=int, help="GPUs of a job."),
    click.option("--cpus", type=int, help="Processor cores of a job."),
    click.option("--mem", metavar="32GB", help="Memory of a job."),
    click.option("--array-parallelism", type=int, help="Jobs of one array at once."),
    click.option("--pack-steps", type=int, help="Pack short cells up to so many steps into a job."),
    click.option("--max-submit", type=int, help="Most jobs in the queue at once."),
    click.option("--signal-before", metavar="2min", help="Time to save before the time limit."),
    click.option("--setup", multiple=True, metavar="LINE", help="Shell line before the program."),
)


@dataclass(frozen=True)
class SlurmRequest:
    """What the command line said of SLURM."""

    wait: bool
    cluster: str | None
    section: SlurmSection


def slurm_options(function: Command) -> Command:
    """Options of ``run`` for SLURM; hands it ``slurm``: a :class:`SlurmRequest` or None."""

    @wraps(function)
    def call(*args: Any, slurm: bool, wait: bool, cluster: str | None, **rest: Any) -> Any:
        keys = {*SlurmSection.model_fields} & set(rest)
        section = from_command_line({key: rest.pop(key) for key in keys})
        given = [key for key, value in section if value is not None]
        if not slurm and (wait or cluster or given):
            named = (["wait"] if wait else []) + (["cluster"] if cluster else []) + given
            raise click.UsageError(f"--{named[0].replace('_', '-')} needs --slurm")
        request = SlurmRequest(wait, cluster, section) if slurm else None
        return function(*args, slurm=request, **rest)

    command: Command = call
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run_on_slurm(
    session: Session,
    plan: Plan,
    cells: dict[str, Cell],
    request: SlurmRequest,
    execution: Execution,
    *,
    retry: bool,
    force: bool,
) -> int:
    """Submit what is missing, and follow it if asked; the exit code."""
    options = merged(plan, named_cluster(request.cluster), request.section)
    session.store.check_writable()
    # Here, where there may be a network; then what compute nodes would miss is said.
    fetch_inputs(session)
    lacking = missing(plan.loaded.suite, session.roots, session.lock())
    if lacking:
        raise MissingDataError("nothing was submitted: " + "\n".join(lacking))
    steps = {key: timeline_of(cell).total_steps for key, cell in cells.items()}
    plugins = tuple(
        word for path in session.include for word in ("--include", str(path.absolute()))
    )
    submitter = Submitter(session.store, session.roots, execution, options, steps, plugins)
    report, seen = submitter.submit(cells, retry=retry, force=force)
    _tell(report, seen, cells)
    if request.wait:
        try:
            return _follow(session, submitter, cells)
        except KeyboardInterrupt:
            say("no longer following: the jobs go on; smc-bench status shows how, cancel ends them")
            return 130
    everything_done = all(state.word == "done" for state in seen.states.values())
    if everything_done and not report.submitted:
        return 0
    return 1 if report.refused or report.failed or report.blocked else 0


def _tell(report: Report, seen: Observation, cells: dict[str, Cell]) -> None:
    for word, group in (("failed", report.failed), ("not run", report.blocked)):
        for key, reason in group.items():
            say(f"{word}: {key} {cells[key].slug}: {reason}")
    for reason in report.refused:
        say(f"refused by SLURM: {reason}")
    counts = Counter(state.word for state in seen.states.values() if state.word == "done")
    waiting = sum(state.in_queue for state in seen.states.values())
    jobs = len(set(report.submitted.values()))
    say(
        f"{counts['done']} of {len(cells)} cells done, {waiting} in the queue already, "
        f"{len(report.submitted)} submitted now as {jobs} jobs in {report.arrays} submissions"
    )
    if report.held_back:
        say(f"{report.held_back} jobs wait for room in the queue: run again later, or --wait")
    if report.failed:
        say("run again with --retry to try failed cells again; smc-bench logs ID shows why")
    if report.submitted:
        say("smc-bench status shows how it goes; the same command submits only what is missing")


def _follow(session: Session, submitter: Submitter, cells: dict[str, Cell]) -> int:
    """Show progress until every cell is done, failed, or has nobody who would run it."""
    printed = ""
    tick = 0
    while True:
        if tick % _POLLS_BETWEEN_SQUEUE == 0:
            seen = observe(session.store, cells, accounts=False)
            held_back = _submit_more(submitter, cells, seen)
        tick += 1
        printed = _line(session, cells, seen, printed)
        states = seen.states.values()
        settled = all(
            s.word in {"done", "failed", "lost", "interrupted", "missing"} for s in states
        )
        if settled and not held_back and not any(s.in_queue for s in states):
            return _end(session, cells)
        time.sleep(_POLL_SECONDS)


def _submit_more(submitter: Submitter, cells: dict[str, Cell], seen: Observation) -> int:
    """Submit what an earlier round had to hold back; failures are left to the next run."""
    never = {k: c for k, c in cells.items() if seen.states[k].word == "missing"}
    if not never:
        return 0
    teachers = {cell.teacher for cell in never.values()}
    try:
        report, _ = submitter.submit(
            {k: c for k, c in cells.items() if k in never or k in teachers}
        )
    except SlurmError as error:
        say(str(error))
        return 1
    # A refusal is worth another try only while other jobs of ours may make room.
    return 0 if report.refused else report.held_back


def _line(session: Session, cells: dict[str, Cell], seen: Observation, before: str) -> str:
    counts = Counter(state.word for state in seen.states.values())
    text = f"[{counts['done']}/{len(cells)} cells"
    text += "".join(f", {n} {w}" for w, n in sorted(counts.items()) if w != "done") + "] "
    running = [key for key, state in seen.states.items() if state.word == "running"]
    text += " | ".join(
        describe(cells[k], session.store.folder(cells[k].folder)) for k in running[:3]
    )
    if text != before:
        say(text[:200])
    return text


def _end(session: Session, cells: dict[str, Cell]) -> int:
    seen = observe(session.store, cells)
    for key, state in seen.states.items():
        if state.word != "done":
            say(f"{state.word}: {key} {cells[key].slug}: {state.why}")
    done = sum(state.word == "done" for state in seen.states.values())
    say(f"{done} of {len(cells)} cells done")
    if done < len(cells):
        say("the same command submits what is missing; --retry tries failed cells too")
    return 0 if done == len(cells) else 1
