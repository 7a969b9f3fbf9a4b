"""Figures for papers: accuracy against sparsity, and paired effects of arms, as PNG and PDF.

A hollow marker is one seed: its interval covers evaluation noise only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from smc_bench.report.data.curves import Curve
from smc_bench.report.data.results import Results
from smc_bench.report.figures import looks
from smc_bench.report.figures.looks import (
    GREY,
    PUBLISHED,
    STYLE,
    WIDTHS,
    Look,
    Width,
    legend,
    styles,
)
from smc_bench.report.outputs import Make, write_all
from smc_bench.report.statistics.compare import Place
from smc_bench.suite.expand import DENSE_ARM

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Inches. A single panel, or one of many arms, has room to be higher.
PANEL_HEIGHT, HIGH_PANEL = 2.2, 3.2
MANY = 8
"""Arms from which on a panel is drawn higher and its intervals thinner."""

ONE_SEED = "hollow: one seed, evaluation noise only"

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
    return write_all(folder, makers(results, columns=columns, curves=curves))


def makers(
    results: Results, *, columns: Width = "two", curves: Sequence[Curve] = ()
) -> dict[str, Make]:
    """What writes each file."""
    figures: dict[str, Callable[[], Figure]] = {
        "plot": lambda: scores_figure(results, columns, curves)
    }
    if len(results.plan.loaded.suite.arms) > 1:
        figures["effects"] = lambda: effects_figure(results, columns)
    found: dict[str, Make] = {}
    for name, figure in figures.items():
        save = looks.saving(figure)
        found |= {f"{name}.png": save, f"{name}.pdf": save}
    return found


@mpl.rc_context(STYLE)
def scores_figure(results: Results, columns: Width, curves: Sequence[Curve] = ()) -> Figure:
    """A panel for each task and way of comparing, a line for each arm, with 95 % intervals."""
    panels = _panels(results)
    figure, axes = _grid(results, len(panels), columns)
    labels = dict.fromkeys(curve.label for curve in curves)
    marks = dict(zip(labels, cycle(PUBLISHED), strict=False))
    for axis, (task, at) in zip(axes, panels, strict=True):
        x = at or results.plan.loaded.suite.report.plot.x
        _scores_panel(axis, results, task, at, x)
        for curve in _beside(results, curves, task, at):
            axis.plot(
                curve.sparsity,
                curve.value,
                linestyle="--",
                marker=marks[curve.label],
                markerfacecolor="white",
                color=GREY,
                linewidth=0.8,
                label=looks.label(curve.label),
            )
    legend(figure, axes)
    return figure


@mpl.rc_context(STYLE)
def effects_figure(results: Results, columns: Width) -> Figure:
    """Paired differences of each arm to the suite's baseline arm, with 95 % intervals."""
    arms = results.plan.loaded.suite.arms
    base = next((arm for arm, patch in arms.items() if not patch), next(iter(arms)))
    panels = _panels(results)
    figure, axes = _grid(results, len(panels), columns)
    for axis, (task, at) in zip(axes, panels, strict=True):
        _effects_panel(axis, results, task, at, base)
    legend(figure, axes)
    return figure


def _panels(results: Results) -> list[tuple[str, str]]:
    return [(task, at) for task in results.tasks for at in results.ways(task)]


def _beside(results: Results, curves: Sequence[Curve], task: str, at: str) -> list[Curve]:
    """Published curves of a panel, as far as its sparsities go.

    Publications count sparsity over what they prune: at an equal sparsity of something else their
    numbers have no place.
    """
    if at not in ("", "scope_sparsity"):
        return []
    levels = results.plan.loaded.suite.sparsity
    cut = [curve.within(min(levels), max(levels)) for curve in curves if curve.task == task]
    return [curve for curve in cut if len(curve.sparsity) > 1]


def _grid(results: Results, count: int, columns: Width) -> tuple[Figure, list[Axes]]:
    across = 1 if columns == "one" else {1: 1, 2: 2, 4: 2}.get(count, 3)
    down = math.ceil(count / across)
    many = len(results.plan.loaded.suite.arms) >= MANY
    height = HIGH_PANEL if many or (count == 1 and columns == "two") else PANEL_HEIGHT
    size = (WIDTHS[columns], height * down)
    figure, grid = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _scores_panel(axis: Axes, results: Results, task: str, at: str, x: str) -> None:
    table = results.summary
    part = table[
        (table["task"] == task)
        & (table["compare_at"] == at)
        & (table["arm"] != DENSE_ARM)
        & table["mean"].notna()
    ]
    look = styles(list(results.plan.loaded.suite.arms))
    for arm, shift in zip(look, _shifts(part, x, len(look)), strict=True):
        line = part[part["arm"] == arm].sort_values(x)
        if len(line):
            axis.errorbar(
                line[x] + shift,
                line["mean"],
                yerr=[_arms_of(line["mean"] - line["low"]), _arms_of(line["high"] - line["mean"])],
                color=look[arm].colour,
                marker=look[arm].marker,
                linestyle=look[arm].line,
                capsize=0 if len(look) >= MANY else 2,
                elinewidth=0.5 if len(look) >= MANY else 0.8,
                label=looks.label(arm),
            )
            alone = line[line["n"] == 1]
            _hollow(axis, list(alone[x] + shift), list(alone["mean"]), look[arm])
    _references(axis, results, task)
    levels = list(dict.fromkeys(part["sparsity"]))
    if len(levels) == 1:
        # One sparsity is no axis: a tick where it is, and the arms side by side.
        axis.set_xticks([float(part[x].mean())], [f"{part[x].mean():.3g}"])
    else:
        axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_xlabel(_LABEL[x])
    axis.set_ylabel(f"{results.scores.metric[task]} (%)")
    axis.set_title(task)


def _shifts(part: pd.DataFrame, x: str, arms: int) -> list[float]:
    """A hair for each arm, so that intervals at the same sparsity don't hide each other.

    All of them together stay within a third of the distance between two levels of sparsity.
    """
    levels = sorted(part.groupby("sparsity")[x].mean().dropna())
    gaps = [high - low for low, high in pairwise(levels)]
    closest = min(gaps, default=0.1)
    whole = levels[-1] - levels[0] if gaps else 3.0 * closest
    step = min(0.012 * whole, 0.33 * closest / max(arms - 1, 1)) if gaps else closest / arms
    return [step * (rank - (arms - 1) / 2.0) for rank in range(arms)]


def _references(axis: Axes, results: Results, task: str) -> None:
    """What scores are read against: the dense model, and an answer that ignores the input."""
    table = results.summary
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]["mean"].dropna()
    if len(dense):
        axis.axhline(dense.iloc[0], color=GREY, linewidth=0.9, label="dense")
    trivial = results.data.loc[results.data["task"] == task, "trivial"].dropna()
    if len(trivial):
        axis.axhline(
            trivial.iloc[0], color=GREY, linestyle=":", linewidth=0.9, label="ignoring the input"
        )


def _hollow(axis: Axes, x: Sequence[float], y: Sequence[float], look: Look) -> None:
    """Empty the markers of what one seed says."""
    if not x:
        return
    empty: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white"}
    axis.plot(x, y, marker=look.marker, color=look.colour, zorder=3, **empty)
    axis.plot([], [], marker="o", color=GREY, label=ONE_SEED, **empty)


def _arms_of(bars: pd.Series) -> list[float]:
    # An unknown interval is drawn as none; matplotlib would drop the whole bar with a warning.
    return [float(bar) if math.isfinite(bar) else 0.0 for bar in bars]


def _effects_panel(axis: Axes, results: Results, task: str, at: str, base: str) -> None:
    look = styles(list(results.plan.loaded.suite.arms))
    others = [arm for arm in look if arm != base]
    places = results.scores.places(task, at)
    axis.axhline(0.0, color=GREY, linewidth=0.9)
    for rank, arm in enumerate(others):
        shift = (rank - (len(others) - 1) / 2.0) * 0.7 / max(len(others), 1)
        for column, place in enumerate(places):
            comparison = results.scores.compare(place, arm, base)
            effect = comparison.effect
            if effect is None:
                continue
            low, high = effect.interval() if effect.known else (effect.value, effect.value)
            axis.errorbar(
                [column + shift],
                [effect.value],
                yerr=[[effect.value - low], [high - effect.value]],
                color=look[arm].colour,
                marker=look[arm].marker,
                linestyle="none",
                capsize=2,
                elinewidth=0.9,
                label=looks.label(arm),
            )
            if not comparison.decides:
                _hollow(axis, [column + shift], [effect.value], look[arm])
    axis.set_xticks(range(len(places)), [_level(place) for place in places])
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.set_xlabel(_EFFECTS_AT[at])
    axis.set_ylabel(f"{results.scores.metric[task]} minus {base}\n(points)")
    axis.set_title(task)


def _level(place: Place) -> str:
    return f"{place.sparsity:.4g}"
