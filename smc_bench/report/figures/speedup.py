"""A figure of scores against measured speed-up: a panel for each machine, engine and shape."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import pandas as pd

from smc_bench.report.data.measured import MACHINE, SHAPE, Measurements, by_arm, dense_score
from smc_bench.report.data.results import Results
from smc_bench.report.figures import looks
from smc_bench.report.figures.looks import GREY, STYLE, WIDTHS, Width, legend, styles
from smc_bench.report.outputs import Make
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.tasks.directions import in_words, lower_is_better

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RECOVERED = 0.95
"""The second dashed line: this share of the dense score (see ``Scores.recovery``)."""

_HEIGHT = 2.4


def makers(results: Results, measured: Measurements, *, columns: Width = "two") -> dict[str, Make]:
    """What writes speedup.png and speedup.pdf; nothing where no time was measured."""
    if measured.times.empty:
        return {}
    save = looks.saving(lambda: speedup_figure(results, measured, columns))
    return {"speedup.png": save, "speedup.pdf": save}


@mpl.rc_context(STYLE)
def speedup_figure(results: Results, measured: Measurements, columns: Width) -> Figure:
    """Mean score against median speed-up of each arm at each sparsity; dashed: dense."""
    table = by_arm(measured.times)
    panels = list(table.groupby(["task", "compare_at", *MACHINE, *SHAPE], sort=False))
    across = 1 if columns == "one" else min(len(panels), 3)
    down = math.ceil(len(panels) / across)
    figure, grid = plt.subplots(
        down,
        across,
        figsize=(WIDTHS[columns], _HEIGHT * down),
        squeeze=False,
        layout="constrained",
    )
    axes: list[Axes] = list(grid.flat)
    looks_of = styles(list(results.plan.loaded.suite.arms))
    for axis, (key, part) in zip(axes, panels, strict=False):
        assert isinstance(key, tuple)
        _panel(axis, part, looks_of)
        lower = lower_is_better(str(part["metric"].iloc[0]))
        _dense_lines(axis, dense_score(results, str(key[0])), 1 / RECOVERED if lower else RECOVERED)
        axis.set_title(_title(key), fontsize=6)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    legend(figure, axes[: len(panels)])
    return figure


def _panel(axis: Axes, part: pd.DataFrame, looks_of: dict[str, looks.Look]) -> None:
    for arm, points in part[part["arm"] != DENSE_ARM].groupby("arm", sort=False):
        look, points = looks_of[str(arm)], points.sort_values("sparsity")
        spread = [
            points["speedup"] - points["speedup_low"],
            points["speedup_high"] - points["speedup"],
        ]
        axis.errorbar(
            points["speedup"],
            points["value"],
            xerr=spread,
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            elinewidth=0.6,
            label=looks.label(str(arm)),
        )
    axis.set_xlabel("times as fast as dense")
    axis.set_ylabel(in_words(str(part["metric"].iloc[0]), " (%)"))


def _dense_lines(axis: Axes, dense: float, recovered: float) -> None:
    if math.isnan(dense):
        return
    lines: dict[str, tuple[float, Any]] = {
        "dense": (dense, "--"),
        f"{100 * RECOVERED:.0f} % of dense": (recovered * dense, (0, (2, 2))),
    }
    for name, (at, line) in lines.items():
        axis.axhline(at, color=GREY, linestyle=line, linewidth=0.8, label=name)


def _title(key: tuple[Any, ...]) -> str:
    task, at, processor, _, threads, engine, version, batch, length, shrunk = key
    what = f"{task}, {at}" if at else str(task)
    zeros = "" if shrunk else ", as zeros"
    shape = f"{batch} x {length}, {threads} thread{'s' * (threads != 1)}"
    return f"{what}: {engine} {version}{zeros}\n{shape}\n{processor}"
