"""Figures for papers: accuracy against sparsity, and paired effects of arms, as PNG and PDF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import pandas as pd

from smc_bench.report.compare import Place
from smc_bench.report.curves import Curve
from smc_bench.report.results import Results
from smc_bench.suite.expand import DENSE_ARM

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

Width = Literal["one", "two"]

# Inches: one and two columns of the usual two-column conference page.
WIDTHS: dict[Width, float] = {"one": 3.25, "two": 6.75}
PANEL_HEIGHT = 2.2

# Okabe and Ito's palette (without its yellow, too light for lines): told apart with every common
# colour blindness. Markers differ as well, for print without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "0.35"

# These arms look the same in every figure; other arms take what is left, in the suite's order.
FIXED = {
    "guidelines": 0,
    "encoder only": 0,
    "smc": 1,
    "SMC setting": 1,
    "everything": 1,
    "GMP (SMC)": 1,
    "guidelines, GMP": 0,
    "guidelines, oBERT": 5,
    "smc-same-steps": 4,
}

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType: text stays text, as publishers ask
    "savefig.dpi": 200,
}

_LABEL = {
    "sparsity": "target sparsity",
    "scope_sparsity": "sparsity of each arm's scope",
    "encoder_sparsity": "encoder sparsity",
    "model_sparsity": "whole-model sparsity",
}

_EFFECTS_AT = {
    "": "target sparsity",
    "scope_sparsity": "sparsity of each arm's scope",
    "encoder_sparsity": "encoder sparsity",
    "model_sparsity": "whole-model zeros, as of this encoder sparsity",
}


def styles(arms: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each arm: fixed by name where known, else the first that is free."""
    count = len(COLOURS)
    # Once the colours are used up they come again with the next marker: 49 different looks.
    looks = [(COLOURS[k % count], MARKERS[(k + k // count) % count]) for k in range(count**2)]
    taken = {FIXED[arm] for arm in arms if arm in FIXED}
    free = cycle(look for index, look in enumerate(looks) if index not in taken)
    return {arm: looks[FIXED[arm]] if arm in FIXED else next(free) for arm in arms}


def draw(
    results: Results, folder: Path, *, columns: Width = "two", curves: Sequence[Curve] = ()
) -> list[Path]:
    """Write plot and, where there are two arms or more, effects: each as PNG and PDF.

    Args:
        results: The suite's finished cells.
        folder: Where the files go.
        columns: Width of the figure on a two-column page.
        curves: Published numbers to draw dashed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figures = {"plot": scores_figure(results, columns, curves)}
        effects = effects_figure(results, columns)
        if effects is not None:
            figures["effects"] = effects
        paths = []
        for name, figure in figures.items():
            for suffix in ("png", "pdf"):
                paths.append(folder / f"{name}.{suffix}")
                figure.savefig(paths[-1])
            plt.close(figure)
    return paths


def scores_figure(results: Results, columns: Width, curves: Sequence[Curve] = ()) -> Figure:
    """A panel for each task and way of comparing, a line for each arm, with 95 % intervals."""
    panels = _panels(results)
    figure, axes = _grid(len(panels), columns)
    labels = dict.fromkeys(curve.label for curve in curves)
    marks = dict(zip(labels, cycle(MARKERS), strict=False))
    for axis, (task, at) in zip(axes, panels, strict=True):
        x = at or results.plan.loaded.suite.report.plot.x
        _scores_panel(axis, results, task, at, x)
        for curve in curves:
            if curve.task == task:
                axis.plot(
                    curve.sparsity,
                    curve.value,
                    linestyle="--",
                    marker=marks[curve.label],
                    markerfacecolor="white",
                    color=GREY,
                    linewidth=0.8,
                    label=curve.label,
                )
    _legend(figure, axes)
    return figure


def effects_figure(results: Results, columns: Width) -> Figure | None:
    """Paired differences of each arm to the suite's baseline arm, with 95 % intervals."""
    arms = results.plan.loaded.suite.arms
    if len(arms) < 2:
        return None
    base = next((arm for arm, patch in arms.items() if not patch), next(iter(arms)))
    panels = _panels(results)
    figure, axes = _grid(len(panels), columns)
    for axis, (task, at) in zip(axes, panels, strict=True):
        _effects_panel(axis, results, task, at, base)
    _legend(figure, axes)
    return figure


def _panels(results: Results) -> list[tuple[str, str]]:
    return [(task, at) for task in results.tasks for at in results.ways(task)]


def _grid(count: int, columns: Width) -> tuple[Figure, list[Axes]]:
    across = 1 if columns == "one" else {1: 1, 2: 2, 4: 2}.get(count, 3)
    down = math.ceil(count / across)
    size = (WIDTHS[columns], PANEL_HEIGHT * down + 0.5)
    figure, grid = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _scores_panel(axis: Axes, results: Results, task: str, at: str, x: str) -> None:
    table = results.summary
    part = table[(table["task"] == task) & (table["compare_at"] == at)]
    look = styles(list(results.plan.loaded.suite.arms))
    width = 0.0 if part[x].isna().all() else float(part[x].max() - part[x].min())
    for rank, (arm, (colour, marker)) in enumerate(look.items()):
        line = part[(part["arm"] == arm) & part["mean"].notna()].sort_values(x)
        if not len(line):
            continue
        axis.errorbar(
            # A hair apart, so that intervals at the same sparsity don't hide each other.
            line[x] + 0.012 * width * (rank - (len(look) - 1) / 2.0),
            line["mean"],
            yerr=[_arms_of(line["mean"] - line["low"]), _arms_of(line["high"] - line["mean"])],
            color=colour,
            marker=marker,
            capsize=2,
            elinewidth=0.8,
            label=arm,
        )
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]["mean"].dropna()
    if len(dense):
        axis.axhline(dense.iloc[0], color=GREY, linewidth=0.9, label="dense")
    trivial = results.data.loc[results.data["task"] == task, "trivial"].dropna()
    if len(trivial):
        axis.axhline(
            trivial.iloc[0], color=GREY, linestyle=":", linewidth=0.9, label="ignoring the input"
        )
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_xlabel(_LABEL[x])
    axis.set_ylabel(f"{results.scores.metric[task]} (%)")
    axis.set_title(task)


def _arms_of(bars: pd.Series) -> list[float]:
    # An unknown interval is drawn as none; matplotlib would drop the whole bar with a warning.
    return [float(bar) if math.isfinite(bar) else 0.0 for bar in bars]


def _effects_panel(axis: Axes, results: Results, task: str, at: str, base: str) -> None:
    look = styles(list(results.plan.loaded.suite.arms))
    others = [arm for arm in look if arm != base]
    places = results.scores.places(task, at)
    axis.axhline(0.0, color=GREY, linewidth=0.9)
    for rank, arm in enumerate(others):
        shift = (rank - (len(others) - 1) / 2.0) * 0.6 / max(len(others), 1)
        for column, place in enumerate(places):
            effect = results.scores.compare(place, arm, base).effect
            if effect is None:
                continue
            low, high = effect.interval() if effect.known else (effect.value, effect.value)
            axis.errorbar(
                [column + shift],
                [effect.value],
                yerr=[[effect.value - low], [high - effect.value]],
                color=look[arm][0],
                marker=look[arm][1],
                linestyle="none",
                capsize=2,
                elinewidth=0.9,
                label=arm,
            )
    axis.set_xticks(range(len(places)), [_level(place) for place in places])
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.set_xlabel(_EFFECTS_AT[at])
    axis.set_ylabel(f"{results.scores.metric[task]} minus {base}\n(points)")
    axis.set_title(task)


def _level(place: Place) -> str:
    return f"{place.sparsity:.4g}"


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    # Arms (with their intervals) first, then the lines they are read against.
    labels = sorted(found, key=lambda label: isinstance(found[label], Line2D))
    longest = max(map(len, labels), default=0)
    # Inches of an entry: 7 pt letters are about half as wide as high, and the handle takes 0.5.
    fitting = int(figure.get_size_inches()[0] / (0.055 * longest + 0.5))
    figure.legend(
        [found[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=max(1, min(fitting, len(labels))),
        frameon=False,
    )
