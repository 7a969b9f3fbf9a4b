"""``run --slurm``: its options, its backend, and what a submission did in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from smc_bench.cli.common import Command, Session, say
from smc_bench.cli.fetch import fetch_inputs
from smc_bench.dispatch.backend import Submission
from smc_bench.dispatch.inputs.offline import missing
from smc_bench.dispatch.slurm.backend import SlurmBackend
from smc_bench.dispatch.slurm.options import from_command_line, merged, named_cluster
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.errors import MissingDataError
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import timeline_of
from smc_bench.suite.slurm_section import SlurmSection

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


def slurm_backend(
    session: Session, plan: Plan, cells: Mapping[str, Cell], request: SlurmRequest, spec: WorkerSpec
) -> SlurmBackend:
    """The backend, once it is known that compute nodes without a network will miss nothing.

    Raises:
        MissingDataError: If they would; nothing is submitted then.
    """
    options = merged(plan, named_cluster(request.cluster), request.section)
    session.store.check_writable()
    # Here, where there may be a network; then what compute nodes would miss is said.
    fetch_inputs(session)
    lacking = missing(plan.loaded.suite, session.roots, session.lock())
    if lacking:
        raise MissingDataError("nothing was submitted: " + "\n".join(lacking))
    steps = {key: timeline_of(cell).total_steps for key, cell in cells.items()}
    return SlurmBackend(spec, options, steps)


def tell(report: Submission, cells: Mapping[str, Cell]) -> int:
    """Say what a submission did; the exit code of a command that only submits."""
    for word, group in (("failed", report.failed), ("not run", report.blocked)):
        for key, reason in group.items():
            say(f"{word}: {key} {cells[key].slug}: {reason}")
    for reason in report.refused:
        say(f"refused by SLURM: {reason}")
    before = report.before.values()
    done, waiting = sum(s.word == "done" for s in before), sum(s.in_queue for s in before)
    jobs = len(set(report.submitted.values()))
    say(
        f"{done} of {len(cells)} cells done, {waiting} in the queue already, "
        f"{len(report.submitted)} submitted now as {jobs} jobs in {report.arrays} submissions"
    )
    if report.held_back:
        say(f"{report.held_back} jobs wait for room in the queue: run again later, or --wait")
    if report.failed:
        say("run again with --retry to try failed cells again; smc-bench logs ID shows why")
    if report.submitted:
        say("smc-bench status shows how it goes; the same command submits only what is missing")
    return 1 if report.refused or report.failed or report.blocked else 0
