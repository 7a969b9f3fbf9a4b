"""Sparsity and learning rate over training, as a suite's recipes would have them. No training."""

from __future__ import annotations

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
from matplotlib.figure import Figure

from smc_bench.report.escape import to_csv
from smc_bench.report.figures.looks import PLAIN, label, named, saving, styles
from smc_bench.report.outputs import Make, write_all
from smc_bench.report.outputs import text as write_text

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


def draw(plan: Plan, folder: Path) -> list[Path]:
    """Write all of :func:`makers`; the first that can't be written is an error."""
    return write_all(folder, makers(plan))


def makers(plan: Plan) -> dict[str, Make]:
    """What writes schedules.csv, .png and .pdf."""
    data = curves(plan)
    save = saving(lambda: figure_of(data, plan.loaded.suite.title), PLAIN, dpi=200)
    return {
        "schedules.csv": lambda path: write_text(path, to_csv(data)),
        "schedules.png": save,
        "schedules.pdf": save,
    }


@mpl.rc_context(PLAIN)
def figure_of(data: pd.DataFrame, title: str) -> Figure:
    """A column a target, sparsity above, rate below."""
    panels = list(dict.fromkeys(zip(data["task"], data["target"], strict=True)))
    colours = {arm: look.colour for arm, look in styles(list(dict.fromkeys(data["arm"]))).items()}
    figure, axes = plt.subplots(
        2, len(panels), figsize=(3.4 * len(panels), 4.2), sharex="col", squeeze=False
    )
    for column, (task, target) in enumerate(panels):
        part = data[(data["task"] == task) & (data["target"] == target)]
        for arm, colour in colours.items():
            line = part[part["arm"] == arm]
            look = {"color": colour, "linewidth": 1.0, "label": label(arm)}
            axes[0][column].step(line["epoch"], 100.0 * line["sparsity"], where="post", **look)
            axes[1][column].plot(line["epoch"], line["learning_rate"], **look)
        axes[0][column].set_title(f"{task}, {100.0 * target:g} %", fontsize=9)
        axes[1][column].set_xlabel("epoch")
    axes[0][0].set_ylabel("sparsity of the scope (%)")
    axes[1][0].set_ylabel("learning rate")
    for text in axes[0][-1].legend(frameon=False, fontsize=7).get_texts():
        text.set_text(named(text.get_text()))
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    return figure
