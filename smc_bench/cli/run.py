"""``smc-bench run``: bring every cell of a suite to a record; resume is the default."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import get_args

import click

from smc_bench.cli.before_run import (
    refuse_paper_without_gpu,
    refuse_unmeasured_latencies,
    refuse_unmeasured_precision,
    refuse_untuned,
    warn_of_slow_bf16,
    with_trackers,
)
from smc_bench.cli.common import Session, only_option, say, suite_command
from smc_bench.cli.fetch import fetch_inputs
from smc_bench.cli.live import Display, names_of
from smc_bench.cli.output import LOG, echo
from smc_bench.cli.report import write_report
from smc_bench.cli.slurm import SlurmRequest, slurm_backend, slurm_options, tell
from smc_bench.dispatch.backend import BACKENDS, Backend, Outcome
from smc_bench.dispatch.eta import Paces
from smc_bench.dispatch.gpus import card
from smc_bench.dispatch.local.capacity import Machine, this_machine
from smc_bench.dispatch.local.pool import LocalPool, Options
from smc_bench.dispatch.worker.command import WorkerSpec, visible_gpus
from smc_bench.engine.execution import TrackerName
from smc_bench.errors import SmcBenchError
from smc_bench.suite.cell import Cell
from smc_bench.suite.claims import claims_about
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import running_order
from smc_bench.suite.only import select
from smc_bench.suite.yaml_file import nearest


@click.command("run")
@suite_command
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Cells at once (default: one a GPU; without GPUs two, if cores and memory allow).",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads of all cells together, shared out among those that run at once (default: "
    "OMP_NUM_THREADS if it is set, else the cores).",
)
@click.option(
    "--gpus-per-cell",
    type=click.IntRange(min=1),
    default=1,
    help="Train each cell in so many processes, one GPU each (with --slurm: --gpus).",
)
@only_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Stop each cell after so many steps (never reported).",
)
@click.option("--retry", is_flag=True, help="Try failed cells again.")
@click.option("--force", is_flag=True, help="Run finished cells again.")
@click.option("--dry-run", is_flag=True, help="Only say what would run.")
@click.option("--report/--no-report", default=True, help="Write tables and plots at the end.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress, only how it ended.")
@click.option(
    "--backend",
    metavar="NAME",
    help="Run on a backend that a plug-in registers (docs/extend.md), not on this machine.",
)
@click.option(
    "--track",
    multiple=True,
    type=click.Choice(get_args(TrackerName)),
    help="Also log to a tracker (the extra of the same name installs it).",
)
@slurm_options
def command(
    session: Session,
    jobs: int | None,
    threads: int | None,
    gpus_per_cell: int,
    only: tuple[str, ...],
    limit: int | None,
    retry: bool,
    force: bool,
    dry_run: bool,
    report: bool,
    quiet: bool,
    backend: str | None,
    track: tuple[TrackerName, ...],
    slurm: SlurmRequest | None,
) -> None:
    """Run what is missing of a suite."""
    _refuse_options(slurm, gpus_per_cell, threads, backend)
    here = slurm is None and backend in (None, "local")
    loaded = session.load()
    refuse_untuned(loaded)
    claims_about(session.suite)
    if here and not dry_run:
        session.store.check_writable()
    plan = session.plan(network=not dry_run, limit=limit, measure=here and not dry_run)
    cells = running_order(select(plan, only))
    gpus = visible_gpus()
    if here and not gpus and not dry_run:
        refuse_paper_without_gpu(plan, cells)
    if dry_run:
        states = {key: session.store.folder(c.folder).state() for key, c in cells.items()}
        for key, cell in cells.items():
            echo(f"{states[key]:11s} {cell.folder}")
        left = sum(state != "done" for state in states.values())
        echo(f"{left} of {len(cells)} cells would run")
        return
    session.remember(plan)
    # A cell that trains on several GPUs takes the place of as many cells.
    machine = this_machine(jobs, _places(gpus, gpus_per_cell), threads) if here else None
    processes = gpus_per_cell if gpus_per_cell > 1 else None
    execution = with_trackers(loaded.suite.execution, track)
    spec = WorkerSpec.of(session.store, session.roots, execution, session.include, processes)
    on_gpu = bool(gpus) or slurm is not None
    paces = Paces(session.store, gpu=on_gpu, card=card() if here else None)
    header = _header(session, plan, cells, machine)
    display = Display(
        cells, session.store, paces, header=header, names=names_of(plan),
        jobs=machine.jobs if machine else 0, quiet=quiet,
    )  # fmt: skip
    refuse_unmeasured_latencies(cells)
    runs_on: Backend
    if slurm is not None:
        refuse_unmeasured_precision(cells)
        runs_on = slurm_backend(session, plan, cells, slurm, spec)
    else:
        if any(session.store.folder(c.folder).state() != "done" for c in cells.values()):
            # What is missing or corrupt is said once and now, not by every worker.
            fetch_inputs(session)
        if machine is None:
            runs_on = BACKENDS[backend or ""](spec)
        else:
            if not gpus:
                warn_of_slow_bf16(cells)
            options = Options(machine.jobs, gpus, machine.cores)
            runs_on = LocalPool(spec, options, display.announce)
    submission = runs_on.submit(cells, retry=retry, force=force)
    display.reused = submission.reused
    if slurm is not None:
        code = tell(submission, cells)
        if not slurm.wait:
            sys.exit(code)
    outcome = follow(runs_on, cells, display)
    if report:
        report_on(session, outcome, limit)
    sys.exit(summarize(outcome, cells))


def _places(gpus: tuple[str, ...], per_cell: int) -> tuple[str, ...]:
    """One GPU for each cell that has enough of its own; the rest stay idle rather than shared."""
    return gpus[: max(1, len(gpus) // per_cell)] if gpus else ()


def follow(backend: Backend, cells: Mapping[str, Cell], display: Display) -> Outcome:
    """Show progress until nobody goes on with any of the cells."""
    LOG.before = display.close
    try:
        return backend.wait(cells, display)
    except KeyboardInterrupt:  # this machine's pool answers signals itself
        display.close()
        if backend.outlives:
            say("no longer following: the jobs go on; smc-bench status shows how, cancel ends them")
        else:
            backend.cancel(cells)
            say("interrupted; the same command goes on from here")
        sys.exit(130)
    finally:
        display.close()
        LOG.before = None


def report_on(session: Session, outcome: Outcome, limit: int | None) -> None:
    """Write the report; that it can't be costs neither the summary nor the exit code."""
    if outcome.interrupted:
        say("no report is written of an interrupted run; smc-bench report writes one")
        return
    if not outcome.done:
        return  # empty tables and plots say nothing
    try:
        complete = write_report(session, session.plan(limit=limit))
    except (Exception, KeyboardInterrupt) as error:
        from smc_bench.report.outputs import in_words as error_in_words

        say(f"not written: report: {error_in_words(error)}")
        complete = False
    if not complete:
        say("the cells are not affected; smc-bench report tries again")


def summarize(outcome: Outcome, cells: Mapping[str, Cell]) -> int:
    """Say how a run ended; the exit code."""
    groups = ((outcome.failed, "failed"), (outcome.blocked, "not run"), (outcome.left, "left"))
    for group, word in groups:
        for key, reason in group.items():
            say(f"{word}: {key} {cells[key].slug if key in cells else ''}: {reason}")
    done = len(cells.keys() & set(outcome.done))
    say(f"{done} of {len(cells)} cells done")
    if outcome.interrupted:
        say("interrupted; the same command goes on from here")
        return 128 + outcome.signal
    if outcome.left:
        say("the same command goes on with what is left")
    if outcome.failed:
        say("run again with --retry to try failed cells again; smc-bench logs ID shows why")
    return 0 if done == len(cells) else 1


def _header(
    session: Session, plan: Plan, cells: Mapping[str, Cell], machine: Machine | None
) -> tuple[str, ...]:
    """What is run, where results go, on what, and the profile's note."""
    loaded = plan.loaded
    what = f"{loaded.suite.name} ({loaded.profile}): {len(cells)} cells, results in "
    lines = [f"{what}{session.store.root}"]
    precisions = ", ".join(sorted({cell.recipe.train.precision for cell in cells.values()}))
    if machine is not None:
        device = "GPU" if machine.gpus else "CPU"
        at_once = f"{machine.jobs} cell{'s' * (machine.jobs > 1)} at once"
        threads = f"{machine.cores} thread{'s' * (machine.cores > 1)}"
        lines.append(f"{at_once}, {threads}, {device}, {precisions}")
    if loaded.note:
        lines.append(" ".join(loaded.note.split()))
    return tuple(lines)


def _refuse_options(
    slurm: SlurmRequest | None, gpus_per_cell: int, threads: int | None, backend: str | None
) -> None:
    if slurm is not None and gpus_per_cell > 1:
        raise click.UsageError("--gpus-per-cell is for this machine; with --slurm write --gpus")
    if slurm is not None and threads is not None:
        raise click.UsageError("--threads is for this machine; with --slurm write --cpus")
    if backend is None:
        return
    if slurm is not None or backend == "slurm":
        raise click.UsageError("cells run on SLURM by --slurm, without --backend")
    if backend not in {*BACKENDS, "local"}:
        known = ", ".join(sorted({*BACKENDS, "local"}))
        raise SmcBenchError(
            f"there is no backend {backend!r}{nearest(backend, [*BACKENDS, 'local'])}; known here: "
            f"{known}. A plug-in registers one (--include, docs/extend.md)"
        )
