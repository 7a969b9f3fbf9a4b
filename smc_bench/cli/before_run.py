"""What ``run`` refuses, or warns of, before a worker starts."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from smc_bench.cli.common import say
from smc_bench.dispatch.worker.tracking import not_installed
from smc_bench.engine.execution import Execution, TrackerName
from smc_bench.errors import SuiteError
from smc_bench.store.provenance import processor_flags
from smc_bench.suite.cell import Cell
from smc_bench.suite.estimate import REASON, needs_gpu, total_gpu_hours
from smc_bench.suite.expand import Plan
from smc_bench.suite.length import timeline_of
from smc_bench.suite.load import BUILT_IN, PLAIN, LoadedSuite


def with_trackers(execution: Execution, track: tuple[TrackerName, ...]) -> Execution:
    """The suite's execution with the trackers asked for; those that are missing are told."""
    chosen = track or execution.trackers
    for name in not_installed(chosen):
        say(f"tracker {name} is not installed here: pip install 'smc-bench[{name}]'")
    return execution.model_copy(update={"trackers": tuple(chosen)})


def warn_of_slow_bf16(cells: Mapping[str, Cell]) -> None:
    """Say that bf16 costs time here: seen 5 to 10 times slower than fp32 on an AVX2 processor."""
    flags = processor_flags()
    emulated = bool(flags) and not flags & {"avx512_bf16", "amx_bf16"}
    if emulated and any(cell.recipe.train.precision == "bf16" for cell in cells.values()):
        say(
            "this processor has no bf16 arithmetic (avx512_bf16, amx_bf16): it is emulated, and "
            "--set train.precision=fp32 is much faster (those are other cells, though)"
        )


def refuse_untuned(loaded: LoadedSuite) -> None:
    """Refuse arms whose learning rate is still to be chosen."""
    if loaded.untuned:
        raise SuiteError(
            f"{loaded.path}: profile {loaded.profile}: no learning rate was chosen yet for "
            f"{', '.join(loaded.untuned[:3])}{' and others' * (len(loaded.untuned) > 3)}: "
            f"smc-bench tune {loaded.path} --profile {loaded.profile}"
        )


def refuse_unmeasured_precision(cells: Mapping[str, Cell]) -> None:
    """Refuse an automatic precision where cells train on other machines than this one."""
    if any(cell.recipe.train.precision == "auto" for cell in cells.values()):
        raise SuiteError(
            "train.precision: auto is measured on the machine that trains, which this one is not: "
            "--set train.precision=bf16 (or fp32)"
        )


def refuse_unmeasured_latencies(cells: Mapping[str, Cell]) -> None:
    """Refuse a target in speed where its table would be measured on a machine that is not asked."""
    targets = [cell.recipe.target for cell in cells.values() if cell.recipe.target is not None]
    if not all(target.known for target in targets):
        raise SuiteError(
            "target: {speedup: ...} goes by a table of latencies, and a local run measures it on "
            "its own machine: for other machines name the file of one (target.table; runs keep "
            "theirs in RESULTS/latencies)"
        )


def refuse_paper_without_gpu(plan: Plan, cells: Mapping[str, Cell]) -> None:
    """Say what a suite's own size costs without a GPU; leave unless its profile was named."""
    profile, model = plan.loaded.profile, plan.loaded.suite.model_name
    if profile not in (BUILT_IN, PLAIN) or not needs_gpu(model):
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
