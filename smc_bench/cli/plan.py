"""``smc-bench plan``: every cell, its state and its length, without torch."""

from __future__ import annotations

from typing import Any

import click

from smc_bench.cli.common import Session, json_option, print_json, suite_command
from smc_bench.cli.output import echo
from smc_bench.dispatch.backend import CellState
from smc_bench.dispatch.choice import states_on_disk
from smc_bench.dispatch.eta import Paces, in_words, time_left
from smc_bench.dispatch.local.capacity import Machine, this_machine
from smc_bench.dispatch.worker.command import visible_gpus
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.suite.cell import TaskSettings
from smc_bench.suite.claims import claims_about
from smc_bench.suite.estimate import REASON, gpu_hours, total_gpu_hours
from smc_bench.suite.expand import Plan
from smc_bench.suite.labels import labels
from smc_bench.suite.length import timeline_of
from smc_bench.suite.sharing import spared_steps


@click.command("plan")
@suite_command
@json_option
@click.option("--jobs", type=click.IntRange(min=1), help="Cells at once (default: as run has it).")
@click.option("--draw", is_flag=True, help="Show sparsity and learning rate over time.")
def command(session: Session, as_json: bool, jobs: int | None, draw: bool) -> None:
    """Show the cells of a suite: what is done, what is left, how long each trains."""
    claims_about(session.suite)
    plan = session.plan()
    machine = this_machine(jobs, visible_gpus())
    paces = Paces(session.store, gpu=machine.gpus)
    paces.learn(plan.cells.values())
    rows = _rows(session, plan, paces)
    if as_json:
        print_json(rows)
        return
    width = max(len(str(row["arm"])) for row in rows)
    for row in rows:
        echo(
            f"{row['id']}  {row['state']:11s}  {row['task']:16s} {row['arm']:{width}s}  "
            f"s={row['sparsity']:<6.4g} seed={row['seed']:<5} steps={row['steps']:<6} "
            f"{_minutes(row)}{_hours(row['gpu_hours'])}{row['compare_at']}"
        )
    left = sum(
        int(row["steps"]) for row in {r["id"]: r for r in rows}.values() if row["state"] != "done"
    )
    echo(f"{len(plan.cells)} cells, about {left} optimizer steps left to take", err=True)
    echo(_time_left(session, plan, machine, paces), err=True)
    hours = total_gpu_hours(plan.cells.values())
    if hours is not None:
        echo(f"about {hours:.1f} GPU-hours for all of them: {REASON}", err=True)
    if not all(cell.resolved for cell in plan.cells.values()):
        echo("data or weights are not fetched yet: ids are provisional (smc-bench fetch)", err=True)
    if draw:
        _draw(plan, labels(plan))


def _rows(session: Session, plan: Plan, paces: Paces) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.cell.id,
            "state": session.store.folder(entry.cell.folder).state(),
            "seconds": _rounded(paces.seconds(entry.cell)),
            "task": entry.cell.task.name,
            "arm": entry.arm,
            "sparsity": entry.target,
            "compare_at": entry.compare_at,
            "seed": entry.cell.seed,
            "steps": timeline_of(entry.cell).total_steps,
            "gpu_hours": gpu_hours(entry.cell),
            "teacher": entry.cell.teacher,
            "folder": entry.cell.folder,
        }
        for entry in plan.entries
    ]


def _rounded(seconds: float | None) -> float | None:
    """What a cell should take, from finished ones of its shape; null where nothing is known."""
    return None if seconds is None else round(seconds, 1)


def _minutes(row: dict[str, Any]) -> str:
    return "" if row["seconds"] is None else f"min~{row['seconds'] / 60:<6.3g} "


def _time_left(session: Session, plan: Plan, machine: Machine, paces: Paces) -> str:
    states = states_on_disk(session.store, plan.cells)
    left = [cell for key, cell in plan.cells.items() if states[key].word != "done"]
    if not left:
        return "nothing is left to run"
    # Failed cells are tried again, and running ones have some steps behind them: at most this.
    todo = {cell.id: cell for cell in left}
    waiting = dict.fromkeys(todo, CellState("pending"))
    seconds = time_left(todo, waiting, {}, paces, machine.jobs, spared_steps(left))
    if seconds is None:
        return (
            "time left unknown: not every cell has a finished one like it here; a run measures "
            "its first ones, and says from then on"
        )
    return f"about {in_words(seconds)} left with {machine.jobs} cells at once, by finished ones"


def _hours(hours: float | None) -> str:
    return "" if hours is None else f"gpu_hours~{hours:<6.3g} "


def _draw(plan: Plan, called: dict[TaskSettings, str]) -> None:
    seen: set[tuple[TaskSettings, str, float, str]] = set()
    for entry in plan.entries:
        key = (entry.cell.task, entry.arm, entry.target, entry.compare_at)
        if key in seen:
            continue
        seen.add(key)
        timeline = timeline_of(entry.cell)
        points = [int(i * max(0, timeline.total_steps - 1) / 59) for i in range(60)]
        rates = [learning_rate(entry.cell.recipe, timeline, step) for step in points]
        levels = [timeline.sparsity_at(step) for step in points]
        at = f" {entry.compare_at}" if entry.compare_at else ""
        echo(
            f"\n{called[entry.cell.task]}, {entry.arm}, target {entry.target:g}{at}, "
            f"{timeline.total_steps} steps"
        )
        echo(f"  lr       {_bars(rates, max(rates) or 1.0)}  peak {max(rates):.2g}")
        echo(f"  sparsity {_bars(levels, 1.0)}  end {timeline.final_sparsity:.4g}")


def _bars(values: list[float], top: float) -> str:
    blocks = " ▁▂▃▄▅▆▇█"
    return "".join(blocks[min(8, round(8 * value / top))] for value in values)
