"""``smc-bench plan``: every cell, its state and its length, without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import click

from smc_bench.cli.card import measured_card
from smc_bench.cli.common import Session, format_option, only_option, suite_command
from smc_bench.cli.formats import Form, print_rows
from smc_bench.cli.memory import MemoryBook
from smc_bench.cli.output import echo
from smc_bench.dispatch import gpus
from smc_bench.dispatch.backend import CellState
from smc_bench.dispatch.eta import Paces, in_words, time_left
from smc_bench.dispatch.local.capacity import Machine, this_machine
from smc_bench.dispatch.worker.command import visible_gpus
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.store.nearly import nearly, summary
from smc_bench.store.store import Look
from smc_bench.suite.card import Card
from smc_bench.suite.cell import Cell, TaskSettings
from smc_bench.suite.claims import claims_about
from smc_bench.suite.estimate import gpu_hours, reason, total_gpu_hours
from smc_bench.suite.expand import Plan
from smc_bench.suite.labels import labels
from smc_bench.suite.length import timeline_of
from smc_bench.suite.only import narrowed
from smc_bench.suite.sharing import reused_steps


@click.command("plan")
@suite_command
@only_option
@format_option
@click.option("--jobs", type=click.IntRange(min=1), help="Cells at once (default: as run has it).")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of all cells together.")
@click.option("--card", metavar="NAME", help="GPU whose measured rate counts (default: this one).")
@click.option("--cells", is_flag=True, help="A line for each cell, not for each arm.")
@click.option("--draw", is_flag=True, help="Show sparsity and learning rate over time.")
def command(
    session: Session,
    only: tuple[str, ...],
    form: Form | None,
    jobs: int | None,
    threads: int | None,
    card: str | None,
    cells: bool,
    draw: bool,
) -> None:
    """Show the cells of a suite: what is done, what is left, how long each trains."""
    claims_about(session.suite)
    plan = narrowed(session.plan(), only)
    machine = this_machine(jobs, visible_gpus(), threads)
    paces = Paces(session.store, gpu=machine.gpus, card=gpus.card())
    paces.learn(plan.cells.values())
    looks = {key: session.store.folder(cell.folder).look() for key, cell in plan.cells.items()}
    records = {key: look.record for key, look in looks.items() if look.record is not None}
    book = MemoryBook(session, plan, records)
    measured, why_none = measured_card(session.store.root, card)
    rows = _rows(plan, looks, paces, book, measured)
    lines = [*_summary(session, plan, rows, machine, paces, measured), book.most()]
    lines += [why_none] if why_none else []
    if compared := book.compared():
        lines.append(compared)
    if form is not None:
        print_rows(rows, form, plan=plan, notes=lines)
        return
    for line in _by_cell(rows) if cells else _by_arm(rows):
        echo(line)
    for line in lines:
        echo(line)
    if draw:
        _draw(plan, labels(plan))


def _summary(
    session: Session,
    plan: Plan,
    rows: list[dict[str, Any]],
    machine: Machine,
    paces: Paces,
    card: Card | None,
) -> list[str]:
    """How much is left, how long it takes, and what keeps stored cells from being found."""
    by_id = {row["id"]: row for row in rows}
    left = sum(int(row["steps"]) for row in by_id.values() if row["state"] != "done")
    lines = [f"{len(plan.cells)} cells, about {left} optimizer steps left to take"]
    unfinished = [cell for key, cell in plan.cells.items() if by_id[key]["state"] != "done"]
    lines.append(_time_left(unfinished, machine, paces))
    hours = total_gpu_hours(plan.cells.values(), card)
    if hours is not None:
        why = reason(plan.cells.values(), card)
        lines.append(f"about {hours:.1f} GPU-hours for all of them: {why}")
    if not all(cell.resolved for cell in plan.cells.values()):
        lines.append("data or weights are not fetched yet: ids are provisional (smc-bench fetch)")
    search = nearly(session.store, plan.cells.values())
    return lines + (summary(session.store, search) if search.near else [])


def _by_cell(rows: list[dict[str, Any]]) -> Iterator[str]:
    width = max(len(str(row["arm"])) for row in rows)
    for row in rows:
        yield (
            f"{row['id']}  {row['state']:11s}  {row['task']:16s} {row['arm']:{width}s}  "
            f"s={row['sparsity']:<6.4g} seed={row['seed']:<5} steps={row['steps']:<6} "
            f"{_minutes(row)}{_hours(row['gpu_hours'])}{_gib(row)}{row['compare_at']}"
        ).rstrip()


def _by_arm(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each arm on each task: its axes, states and lengths."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["arm"], row["compare_at"]), []).append(row)
    width = max(len(arm) for _, arm, _ in groups)
    for (task, arm, at), group in groups.items():
        levels = ", ".join(f"{x:.4g}" for x in dict.fromkeys(row["sparsity"] for row in group))
        seeds = len({row["seed"] for row in group})
        states = Counter(str(row["state"]) for row in group)
        steps = sorted({int(row["steps"]) for row in group})
        length = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
        shown = ", ".join(f"{count} {word}" for word, count in sorted(states.items()))
        yield (
            f"{task:16s} {arm:{width}s}  {shown}; s={levels}; {seeds} seed{'s' * (seeds > 1)}; "
            f"{length} steps{f'; {at}' if at else ''}"
        )


def _rows(
    plan: Plan,
    looks: Mapping[str, Look],
    paces: Paces,
    book: MemoryBook,
    card: Card | None,
) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.cell.id,
            "state": looks[entry.cell.id].state,
            "seconds": _rounded(paces.seconds(entry.cell)),
            "task": entry.cell.task.name,
            "arm": entry.arm,
            "sparsity": entry.target,
            "compare_at": entry.compare_at,
            "seed": entry.cell.seed,
            "steps": timeline_of(entry.cell).total_steps,
            "gpu_hours": gpu_hours(entry.cell, card),
            **_memory(book, entry.cell),
            "teacher": entry.cell.teacher,
            "folder": entry.cell.folder,
        }
        for entry in plan.entries
    ]


def _memory(book: MemoryBook, cell: Cell) -> dict[str, int | None]:
    """Bytes that a cell should take at the most, and those that it took itself."""
    expected, used = book.predicted(cell), book.used(cell)
    return {
        "memory_bytes": None if expected is None else expected.peak,
        "memory_used_bytes": None if used is None else used.own,
    }


def _rounded(seconds: float | None) -> float | None:
    """What a cell should take, from finished ones of its shape; null where nothing is known."""
    return None if seconds is None else round(seconds, 1)


def _minutes(row: dict[str, Any]) -> str:
    return "" if row["seconds"] is None else f"min~{row['seconds'] / 60:<6.3g} "


def _time_left(left: list[Cell], machine: Machine, paces: Paces) -> str:
    if not left:
        return "nothing is left to run"
    # Failed cells are tried again, and running ones have some steps behind them: at most this.
    todo = {cell.id: cell for cell in left}
    waiting = dict.fromkeys(todo, CellState("pending"))
    seconds = time_left(todo, waiting, {}, paces, machine.jobs, reused_steps(left))
    if seconds is None:
        return (
            "time left unknown: not every cell has a finished one like it here; a run measures "
            "its first ones, and says from then on"
        )
    return f"about {in_words(seconds)} left with {machine.jobs} cells at once, by finished ones"


def _hours(hours: float | None) -> str:
    return "" if hours is None else f"gpu_hours~{hours:<6.3g} "


def _gib(row: dict[str, Any]) -> str:
    return "" if row["memory_bytes"] is None else f"GiB<{row['memory_bytes'] / 2**30:<5.3g} "


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
