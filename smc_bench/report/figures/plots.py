"""Figures for papers: accuracy against sparsity, and paired effects of arms, as PNG and PDF.

A hollow marker is one seed: its interval covers evaluation noise only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from smc_bench.report.data.curves import Curve
from smc_bench.report.data.results import Results
from smc_bench.report.figures import looks, panels
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
from smc_bench.report.figures.ticks import sparse
from smc_bench.report.outputs import Make, write_all
from smc_bench.report.statistics.compare import Place
from smc_bench.tasks.directions import in_words, lower_is_better

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

# Inches. A single panel, or one of many arms, has room to be higher.
PANEL_HEIGHT, HIGH_PANEL = 2.2, 3.2
MANY = 8
"""Arms from which on a panel is drawn higher and its intervals thinner."""

SIDE_BY_SIDE = 7.0
"""Points from arm to arm, at most, where there is one sparsity alone."""
_ROOM = 100.0
"""Points that all of them may take then: the narrowest panel has a few more."""

# Share of a figure's width that its panels' axes have, and the width of a tick's letter (points).
_PANEL_SHARE, _LETTER = 0.82, 4.0

ONE_SEED = "hollow: one seed, evaluation noise only"


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
    shown = panels.panels(results)
    figure, axes = _grid(results, len(shown), columns)
    labels = dict.fromkeys(curve.label for curve in curves)
    marks = dict(zip(labels, cycle(PUBLISHED), strict=False))
    for axis, (task, at) in zip(axes, shown, strict=True):
        x = at or results.plan.loaded.suite.report.plot.x
        _scores_panel(figure, axis, results, task, at, x)
        for curve in panels.beside(results, curves, task, at):
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
    base = panels.baseline(results)
    shown = panels.panels(results)
    figure, axes = _grid(results, len(shown), columns)
    for axis, (task, at) in zip(axes, shown, strict=True):
        _effects_panel(axis, results, task, at, base)
    legend(figure, axes)
    return figure


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


def _scores_panel(figure: Figure, axis: Axes, results: Results, task: str, at: str, x: str) -> None:
    part = panels.rows_of(results, task, at)
    look = styles(list(results.plan.loaded.suite.arms))
    present = [arm for arm in look if (part["arm"] == arm).any()]
    for arm, shift in zip(present, _shifts(part, len(present)), strict=True):
        line = part[part["arm"] == arm].sort_values(x)
        moved = axis.transData + ScaledTranslation(shift / 72.0, 0.0, figure.dpi_scale_trans)
        axis.errorbar(
            line[x],
            line["mean"],
            yerr=[_arms_of(line["mean"] - line["low"]), _arms_of(line["high"] - line["mean"])],
            color=look[arm].colour,
            marker=look[arm].marker,
            linestyle=look[arm].line,
            capsize=0 if len(look) >= MANY else 2,
            elinewidth=0.5 if len(look) >= MANY else 0.8,
            label=looks.label(arm),
            transform=moved,
        )
        # The shift hides the points from matplotlib's own limits: they would be cut off.
        for bound in ("low", "mean", "high"):
            seen = line[line[bound].notna()]
            axis.update_datalim(list(zip(seen[x], seen[bound], strict=True)))
        alone = line[line["n"] == 1]
        _hollow(axis, list(alone[x]), list(alone["mean"]), look[arm], transform=moved)
    _references(axis, results, task)
    _level_axis(figure, axis, *panels.ticks(part, x))
    axis.set_xlabel(panels.X_LABEL[x])
    axis.set_ylabel(in_words(results.scores.metric[task], " (%)"))
    axis.set_title(task)


def _shifts(rows: pd.DataFrame, arms: int) -> list[float]:
    """A hair for each arm, in points: intervals at one sparsity must not hide each other.

    All of them together stay within a marker's width, so that a point is at its sparsity. A single
    sparsity is no axis: there arms stand side by side.
    """
    single = rows["sparsity"].nunique() == 1
    beside = min(SIDE_BY_SIDE, _ROOM / arms) if arms else 0.0
    step = beside if single else min(1.2, STYLE["lines.markersize"] / max(arms - 1, 1))
    return [step * (rank - (arms - 1) / 2.0) for rank in range(arms)]


def _level_axis(figure: Figure, axis: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    """Ticks where sparsities were tested, named as far as there is room."""
    if not places:
        return
    room = (places[-1] - places[0]) * 0.06 or 0.05
    low, high = places[0] - room, places[-1] + room
    axis.set_xlim(low, high)
    spec = axis.get_subplotspec()
    across = 1 if spec is None else spec.get_gridspec().ncols
    points = 72.0 * float(figure.get_size_inches()[0]) * _PANEL_SHARE
    scale = points / across / (high - low)
    widths = [_LETTER * (len(name) + 1) for name in names]
    shown = sparse([scale * place for place in places], widths)
    labels = [name if show else "" for name, show in zip(names, shown, strict=True)]
    axis.set_xticks(list(places), labels)


def _references(axis: Axes, results: Results, task: str) -> None:
    """What scores are read against: the dense model, and an answer that ignores the input."""
    dense, trivial = panels.references(results, task)
    if dense is not None:
        axis.axhline(dense, color=GREY, linewidth=0.9, label="dense")
    if trivial is not None:
        axis.axhline(trivial, color=GREY, linestyle=":", linewidth=0.9, label="ignoring the input")


def _hollow(axis: Axes, x: Sequence[float], y: Sequence[float], look: Look, **where: Any) -> None:
    """Empty the markers of what one seed says."""
    if not x:
        return
    empty: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white"}
    axis.plot(x, y, marker=look.marker, color=look.colour, zorder=3, **empty, **where)
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
    axis.set_xlabel(panels.EFFECTS_AT[at])
    lower = lower_is_better(results.scores.metric[task])
    what = "below zero is better" if lower else "points"
    axis.set_ylabel(f"{results.scores.metric[task]} minus {base}\n({what})")
    axis.set_title(task)


def _level(place: Place) -> str:
    return f"{place.sparsity:.4g}"
