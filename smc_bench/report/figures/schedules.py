"""Sparsity and learning rate over training, as a suite's recipes would have them. No training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import DENSE_ARM, Plan
from smc_bench.suite.labels import labels
from smc_bench.suite.length import timeline_of

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smc_bench.report.escape import to_csv
from smc_bench.report.figures.looks import STYLE, WIDTHS, Width, label, legend, saving, styles
from smc_bench.report.outputs import Make, write_all
from smc_bench.report.outputs import text as write_text

PANEL_HEIGHT = 1.35
"""Inches of one panel; of each task and target there are two."""

ABREAST: dict[Width, int] = {"one": 1, "two": 3}
"""Panels side by side at most."""

POINTS = 600
"""Steps that a curve is drawn from, besides the steps around each pruning event."""


def curves(plan: Plan) -> pd.DataFrame:
    """One row a drawn step of each arm, task and target of the first seed.

    Columns: task, arm, target, step (from 0), epoch, sparsity (0..1), learning_rate.
    """
    rows: list[dict[str, object]] = []
    seen: set[tuple[str, str, float]] = set()
    called = labels(plan)
    for entry in plan.entries:
        # Over what sparsity is counted (compare_at) changes no schedule.
        key = (called[entry.cell.task], entry.arm, entry.target)
        if entry.arm == DENSE_ARM or key in seen:
            continue
        seen.add(key)
        named = {"task": key[0], "arm": key[1], "target": key[2]}
        rows.extend(named | point for point in _points(entry.cell))
    return pd.DataFrame(rows)


def _points(cell: Cell) -> list[dict[str, object]]:
    timeline = timeline_of(cell)
    last = max(0, timeline.total_steps - 1)
    steps = {round(i * last / POINTS) for i in range(POINTS + 1)}
    # A ramp in thousands of tiny events is smooth without its own points.
    for event in timeline.events if len(timeline.events) < POINTS else ():
        steps |= {event.step - 1, event.step} & set(range(last + 1))
    return [
        {
            "step": step,
            "epoch": step / timeline.steps_per_epoch,
            "sparsity": timeline.sparsity_at(step),
            "learning_rate": learning_rate(cell.recipe, timeline, step),
        }
        for step in sorted(steps)
    ]


def draw(plan: Plan, folder: Path, *, columns: Width = "two") -> list[Path]:
    """Write all of :func:`makers`; the first that can't be written is an error."""
    return write_all(folder, makers(plan, columns=columns))


def makers(plan: Plan, *, columns: Width = "two") -> dict[str, Make]:
    """What writes schedules.csv, .png and .pdf, at a width on a two-column page."""
    data = curves(plan)
    save = saving(lambda: figure_of(data, columns))
    return {
        "schedules.csv": lambda path: write_text(path, to_csv(data)),
        "schedules.png": save,
        "schedules.pdf": save,
    }


@mpl.rc_context(STYLE)
def figure_of(data: pd.DataFrame, columns: Width = "two") -> Figure:
    """A panel of sparsity above one of the rate for each task and target; at most so many abreast.

    Args:
        data: See :func:`curves`.
        columns: Width of the figure.
    """
    panels = list(dict.fromkeys(zip(data["task"], data["target"], strict=True)))
    arms = list(dict.fromkeys(data["arm"]))
    across = min(ABREAST[columns], len(panels))
    bands = math.ceil(len(panels) / across)
    figure, axes = plt.subplots(
        2 * bands,
        across,
        figsize=(WIDTHS[columns], 2.0 * PANEL_HEIGHT * bands),
        squeeze=False,
        layout="constrained",
    )
    several = len({task for task, _ in panels}) > 1
    for number, (task, target) in enumerate(panels):
        row, column = 2 * (number // across), number % across
        pair = (axes[row][column], axes[row + 1][column])
        part = data[(data["task"] == task) & (data["target"] == target)]
        _panel(pair, part, arms, first=column == 0)
        name = f"{100.0 * target:g} %"
        pair[0].set_title(f"{task}, {name}" if several else name)
    for spare in range(len(panels), across * bands):
        for axis in axes[2 * (spare // across) : 2 * (spare // across) + 2, spare % across]:
            axis.remove()
    legend(figure, list(figure.axes))
    return figure


def _panel(
    pair: tuple[Axes, Axes], part: pd.DataFrame, arms: Sequence[str], *, first: bool
) -> None:
    """Sparsity above, learning rate below, over one axis of epochs."""
    above, below = pair
    for arm, look in styles(arms).items():
        line = part[part["arm"] == arm]
        how = {"color": look.colour, "linestyle": look.line, "label": label(arm)}
        above.step(line["epoch"], 100.0 * line["sparsity"], where="post", **how)
        below.plot(line["epoch"], line["learning_rate"], **how)
    below.sharex(above)
    above.tick_params(labelbottom=False)
    below.set_xlabel("epoch")
    # Rates as 4 × 10⁻⁵, the power once at the axis' end.
    below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    if first:
        above.set_ylabel("scope sparsity (%)")
        below.set_ylabel("learning rate")
