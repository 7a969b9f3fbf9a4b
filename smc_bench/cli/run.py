"""``smc-bench run``: bring every cell of a suite to a record; resume is the default."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import get_args

import click

from smc_bench.cli.common import Session, only_option, say, suite_command
from smc_bench.cli.fetch import fetch_inputs
from smc_bench.cli.live import Live
from smc_bench.cli.output import echo
from smc_bench.cli.report import write_report
from smc_bench.cli.slurm import SlurmRequest, run_on_slurm, slurm_options
from smc_bench.dispatch.eta.forecast import Forecast, in_words, keep, order_by, spared_of
from smc_bench.dispatch.eta.timings import timings_of
from smc_bench.dispatch.local.capacity import Machine, this_machine
from smc_bench.dispatch.local.pool import LocalPool, Options, Outcome
from smc_bench.dispatch.local.retry import spare_memory
from smc_bench.dispatch.worker.command import visible_gpus
from smc_bench.dispatch.worker.tracking import not_installed
from smc_bench.engine.recipe import Execution, TrackerName
from smc_bench.errors import StoreError, SuiteError
from smc_bench.store.clean import beginnings, remove
from smc_bench.store.provenance import processor_flags
from smc_bench.suite.cell import Cell
from smc_bench.suite.claims import claims_about
from smc_bench.suite.estimate import REASON, needs_gpu, total_gpu_hours
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import running_order, timeline_of
from smc_bench.suite.load import BUILT_IN, PLAIN, LoadedSuite
from smc_bench.suite.only import select
from smc_bench.suite.predict import Predictor, Timing


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
    track: tuple[TrackerName, ...],
    slurm: SlurmRequest | None,
) -> None:
    """Run what is missing of a suite."""
    if slurm is not None and gpus_per_cell > 1:
        raise click.UsageError("--gpus-per-cell is for this machine; with --slurm write --gpus")
    if slurm is not None and threads is not None:
        raise click.UsageError("--threads is for this machine; with --slurm write --cpus")
    loaded = session.load()
    _refuse_untuned(loaded)
    claims_about(session.suite)
    gpus = visible_gpus()
    if slurm is None and not dry_run:
        session.store.check_writable()
    plan = session.plan(network=not dry_run, limit=limit, measure=slurm is None and not dry_run)
    # A cell that trains on several GPUs takes the place of as many cells.
    machine = this_machine(jobs, gpus[::gpus_per_cell], threads)
    cells, timings = _ordered(session, select(plan, only), None if slurm else machine)
    if slurm is None:
        _refuse_paper_without_gpu(plan, cells, gpus, dry_run)
    if dry_run:
        states = {key: session.store.folder(c.folder).state() for key, c in cells.items()}
        for key, cell in cells.items():
            echo(f"{states[key]:11s} {cell.folder}")
        left = sum(state != "done" for state in states.values())
        echo(f"{left} of {len(cells)} cells would run")
        return
    session.remember(plan)
    execution = _with_trackers(loaded.suite.execution, track)
    if slurm is None and not gpus:
        _warn_of_slow_bf16(cells)
    if slurm is not None:
        _refuse_unmeasured_precision(cells)
        code = run_on_slurm(session, plan, cells, slurm, execution, retry=retry, force=force)
        if slurm.wait and report:
            _report(session, limit)
        sys.exit(code)
    if any(session.store.folder(c.folder).state() != "done" for c in cells.values()):
        # What is missing or corrupt is said once and now, not by every worker.
        fetch_inputs(session)
    if retry:
        spare_memory(session.store, cells.values(), execution)
    # Several processes a cell train all of their steps themselves.
    spared = spared_of(session.store, cells) if gpus_per_cell == 1 else {}
    forecast = Forecast(session.store, cells, machine, timings, spared)
    live = Live(cells, forecast)
    options = Options(
        machine.jobs, retry, force, gpus, session.include, gpus_per_cell, spared, machine.cores
    )
    pool = LocalPool(session.store, session.roots, execution, options, live)
    outcome = pool.run(cells)
    live.close()
    with suppress(OSError, StoreError):  # what it says of itself is not worth the report
        _keep_forecast(session, loaded, forecast, whole=not outcome.interrupted)
    _end_sharing(session, cells, spared)
    if report:
        _report(session, limit)
    sys.exit(_summary(outcome, cells))


def _keep_forecast(
    session: Session, loaded: LoadedSuite, forecast: Forecast, *, whole: bool
) -> None:
    result = forecast.result(whole=whole)
    if result is not None:
        keep(session.store.root, {"suite": loaded.suite.name, "profile": loaded.profile, **result})
        say(in_words(result))


def _report(session: Session, limit: int | None) -> None:
    """Write the report; that it can't be costs neither the summary nor the exit code."""
    try:
        complete = write_report(session, session.plan(limit=limit))
    except (Exception, KeyboardInterrupt) as error:
        from smc_bench.report.outputs import in_words as error_in_words

        say(f"not written: report: {error_in_words(error)}")
        complete = False
    if not complete:
        say("the cells are not affected; smc-bench report tries again")


def _end_sharing(session: Session, cells: dict[str, Cell], spared: dict[str, int]) -> None:
    """Say what common beginnings have spared, and remove those that nothing waits for."""
    if not spared:
        return
    with suppress(OSError, StoreError):  # neither word nor room is worth the report
        records = [session.store.folder(cells[key].folder).record() for key in spared]
        finished = [record for record in records if record is not None]
        steps = sum(record.prefix_steps for record in finished)
        total = sum(record.total_steps for record in finished)
        if total:  # after an early stop there is nothing to say
            words = f"{steps} of {total} steps of the cells that share one were spared"
            say(f"common beginnings: {words}")
        if len(finished) == len(spared):
            remove(beginnings(session.store))


def _with_trackers(execution: Execution, track: tuple[TrackerName, ...]) -> Execution:
    """The suite's execution with the trackers asked for; those that are missing are told."""
    chosen = track or execution.trackers
    for name in not_installed(chosen):
        say(f"tracker {name} is not installed here: pip install 'smc-bench[{name}]'")
    return execution.model_copy(update={"trackers": tuple(chosen)})


def _ordered(
    session: Session, cells: dict[str, Cell], machine: Machine | None
) -> tuple[dict[str, Cell], list[Timing]]:
    """Cells in running order (for this machine, if given), and what finished ones took."""
    if machine is None:
        return running_order(cells), []
    timings = timings_of(session.store, cells.values(), gpu=machine.gpus)
    return running_order(cells, order_by(Predictor(timings), machine)), timings


def _warn_of_slow_bf16(cells: dict[str, Cell]) -> None:
    """Say that bf16 costs time here: seen 5 to 10 times slower than fp32 on an AVX2 processor."""
    flags = processor_flags()
    emulated = bool(flags) and not flags & {"avx512_bf16", "amx_bf16"}
    if emulated and any(cell.recipe.train.precision == "bf16" for cell in cells.values()):
        say(
            "this processor has no bf16 arithmetic (avx512_bf16, amx_bf16): it is emulated, and "
            "--set train.precision=fp32 is much faster (those are other cells, though)"
        )


def _refuse_untuned(loaded: LoadedSuite) -> None:
    if loaded.untuned:
        raise SuiteError(
            f"{loaded.path}: profile {loaded.profile}: no learning rate was chosen yet for "
            f"{', '.join(loaded.untuned[:3])}{' and others' * (len(loaded.untuned) > 3)}: "
            f"smc-bench tune {loaded.path} --profile {loaded.profile}"
        )


def _refuse_unmeasured_precision(cells: dict[str, Cell]) -> None:
    if any(cell.recipe.train.precision == "auto" for cell in cells.values()):
        raise SuiteError(
            "train.precision: auto is measured on the machine that trains, which this one is not: "
            "--set train.precision=bf16 (or fp32)"
        )


def _refuse_paper_without_gpu(
    plan: Plan, cells: dict[str, Cell], gpus: tuple[str, ...], dry_run: bool
) -> None:
    profile, model = plan.loaded.profile, plan.loaded.suite.model_name
    if profile not in (BUILT_IN, PLAIN) or not needs_gpu(model) or gpus or dry_run:
        return
    steps = sum(timeline_of(cell).total_steps for cell in cells.values())
    hours = total_gpu_hours(cells.values())
    cost = f" (about {hours:.0f} GPU-hours: {REASON})" if hours is not None else ""
    others = [name for name in plan.loaded.suite.profiles if name != BUILT_IN]
    hint = (
        f"; for this machine: --profile {others[0]} (make: PROFILE={others[0]})" if others else ""
    )
    named = click.get_current_context().params.get("profile") == profile
    insist = f"; name it with --profile {profile} to run it here all the same"
    say(
        f"profile {profile} without a GPU: {len(cells)} cells, about {steps} optimizer steps of "
        f"{model}{cost}{hint}{'' if named else insist}"
    )
    if not named:
        sys.exit(2)


def _summary(outcome: Outcome, cells: dict[str, Cell]) -> int:
    for group, word in ((outcome.failed, "failed"), (outcome.blocked, "not run")):
        for key, reason in group.items():
            say(f"{word}: {key} {cells[key].slug if key in cells else ''}: {reason}")
    done = len([key for key in cells if key in set(outcome.done)])
    say(f"{done} of {len(cells)} cells done")
    if outcome.interrupted:
        say("interrupted; the same command goes on from here")
        return 128 + outcome.signal
    if outcome.failed:
        say("run again with --retry to try failed cells again; smc-bench logs ID shows why")
    return 0 if done == len(cells) else 1
