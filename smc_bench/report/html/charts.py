"""Accuracy against sparsity and paired effects, as charts with a name for every point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from smc_bench.report.data.curves import Curve
from smc_bench.report.data.results import Results
from smc_bench.report.figures import looks, panels
from smc_bench.report.figures.ticks import sparse
from smc_bench.report.html import svg
from smc_bench.report.html.svg import Scale
from smc_bench.report.statistics.compare import Place
from smc_bench.report.tables.tables import AT, headings
from smc_bench.tasks.directions import in_words

WIDTH, HEIGHT = 420.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 408.0, 10.0, 226.0
MARKER = 8.0
"""Width of a marker; arms at one sparsity lie no further apart than this, all together."""

_LETTER = 6.2


@dataclass(frozen=True)
class Style:
    """How an arm looks, as numbers of colour, marker and line; the same as in the figures."""

    arm: int
    name: str
    colour: int
    marker: int
    line: int


@dataclass(frozen=True)
class Mark:
    """One point with its interval, in the drawing's units."""

    x: float
    y: float
    low: float | None
    high: float | None
    says: str
    hollow: bool


@dataclass(frozen=True)
class Series:
    """The points of one arm; ``path`` joins them, where they are joined."""

    style: Style
    marks: tuple[Mark, ...]
    path: str = ""


@dataclass(frozen=True)
class Rule:
    """A line across: the dense score, the score without the input, no difference."""

    y: float
    name: str
    kind: str


@dataclass(frozen=True)
class Chart:
    """One panel.

    Attributes:
        title: Task and way of comparing.
        x_label: What is along.
        y_label: What is up.
        x_ticks: Places and labels, which may be empty.
        y_ticks: Places and labels.
        series: Arms.
        rules: Lines across.
        published: Published curves: path and name.
    """

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    rules: tuple[Rule, ...]
    published: tuple[tuple[str, str], ...] = ()


def arm_styles(results: Results) -> dict[str, Style]:
    """Look of each arm of the suite."""
    found = looks.styles(list(results.plan.loaded.suite.arms))
    return {
        arm: Style(
            number,
            arm,
            looks.COLOURS.index(look.colour),
            looks.MARKERS.index(look.marker),
            looks.LINES.index(look.line),
        )
        for number, (arm, look) in enumerate(found.items())
    }


def score_charts(results: Results, curves: Sequence[Curve] = ()) -> list[Chart]:
    """Accuracy against sparsity: a chart for each task and way of comparing."""
    charts = (_scores(results, curves, task, at) for task, at in panels.panels(results))
    return [chart for chart in charts if chart.series]


def effect_charts(results: Results) -> list[Chart]:
    """Paired differences to the suite's baseline arm; none where there is one arm alone."""
    if len(results.plan.loaded.suite.arms) < 2:
        return []
    base = panels.baseline(results)
    charts = (_effects(results, task, at, base) for task, at in panels.panels(results))
    return [chart for chart in charts if chart.series]


def _title(task: str, at: str) -> str:
    return f"{task}, {AT[at].split(' (')[0]}" if AT[at] else task


def _scores(results: Results, curves: Sequence[Curve], task: str, at: str) -> Chart:
    x = at or results.plan.loaded.suite.report.plot.x
    part = panels.rows_of(results, task, at)
    beside = panels.beside(results, curves, task, at)
    rules = _references(results, task)
    levels, names = panels.ticks(part, x)
    spread = [*levels, *part[x].dropna(), *(v for curve in beside for v in curve.sparsity)]
    along = Scale(*svg.around(spread), LEFT, RIGHT)
    heights = [*part["mean"], *part["low"], *part["high"], *(value for value, _, _ in rules)]
    heights += [v for curve in beside for v in curve.value]
    up = Scale(*svg.around(map(float, heights)), BOTTOM, TOP)
    styles = arm_styles(results)
    present = [arm for arm in styles if (part["arm"] == arm).any()]
    shifts = dict(zip(present, _shifts(len(present), len(levels)), strict=True))
    series = tuple(
        _line(part[part["arm"] == arm].sort_values(x), x, styles[arm], along, up, shifts[arm])
        for arm in present
    )
    return Chart(
        _title(task, at),
        panels.X_LABEL[x],
        in_words(results.scores.metric[task], " (%)"),
        _x_ticks([along(level) for level in levels], names),
        _y_ticks(up),
        series,
        tuple(Rule(up(value), f"{name}: {value:.2f}", kind) for value, name, kind in rules),
        tuple((svg.path([(along(a), up(b)) for a, b in _points(c)]), c.label) for c in beside),
    )


def _points(curve: Curve) -> Iterator[tuple[float, float]]:
    return zip(curve.sparsity, curve.value, strict=True)


def _shifts(count: int, levels: int) -> list[float]:
    """A hair for each arm; side by side where one sparsity alone is no axis."""
    room = min(24.0, (RIGHT - LEFT) / (count + 1)) if levels == 1 else 2.0
    step = room if levels == 1 else min(room, MARKER / max(count - 1, 1))
    return [step * (rank - (count - 1) / 2.0) for rank in range(count)]


def _line(
    rows: pd.DataFrame, x: str, style: Style, along: Scale, up: Scale, shift: float
) -> Series:
    marks = []
    for content in rows.to_dict("records"):
        says = (
            f"{style.name}, target sparsity {content['sparsity']:.4g}: "
            f"{_of(content)}{_interval(content['low'], content['high'])}"
        )
        place = along(float(content[x])) + shift
        marks.append(_mark(place, content, up, says, hollow=content["n"] == 1))
    return Series(style, tuple(marks), svg.path([(mark.x, mark.y) for mark in marks]))


def _of(row: Mapping[Any, Any]) -> str:
    sd = f" ± {row['sd']:.2f}" if row["n"] > 1 else ""
    seeds = "1 seed" if row["n"] == 1 else f"{row['n']:.0f} seeds"
    return f"{row['mean']:.2f}{sd} ({seeds})"


def _interval(low: float, high: float, form: str = ".2f") -> str:
    known = math.isfinite(low) and math.isfinite(high)
    return f", 95 % interval {low:{form}} to {high:{form}}" if known else ", no interval"


def _mark(x: float, row: Mapping[Any, Any], up: Scale, says: str, *, hollow: bool) -> Mark:
    ends = [up(end) if math.isfinite(end) else None for end in (row["low"], row["high"])]
    return Mark(round(x, 1), up(row["mean"]), ends[0], ends[1], says, hollow)


def _references(results: Results, task: str) -> list[tuple[float, str, str]]:
    dense, trivial = panels.references(results, task)
    found = [(dense, "dense", "dense"), (trivial, "ignoring the input", "trivial")]
    return [(value, name, kind) for value, name, kind in found if value is not None]


def _effects(results: Results, task: str, at: str, base: str) -> Chart:
    styles = arm_styles(results)
    others = [arm for arm in styles if arm != base]
    places = results.scores.places(task, at)
    found: dict[str, list[tuple[int, dict[str, float], str, bool]]] = {}
    for arm in others:
        for column, place in enumerate(places):
            point = _effect(results, place, arm, base)
            if point is not None:
                found.setdefault(arm, []).append((column, *point))
    values = [row[key] for rows in found.values() for _, row, _, _ in rows for key in row]
    up = Scale(*svg.around([0.0, *values]), BOTTOM, TOP)
    along = Scale(-0.5, max(len(places), 1) - 0.5, LEFT, RIGHT)
    series = []
    for rank, arm in enumerate(others):
        shift = (rank - (len(others) - 1) / 2.0) * 0.7 / max(len(others), 1)
        marks = [
            _mark(along(column + shift), row, up, says, hollow=hollow)
            for column, row, says, hollow in found.get(arm, [])
        ]
        if marks:
            series.append(Series(styles[arm], tuple(marks)))
    names = headings([place.sparsity for place in places])
    return Chart(
        _title(task, at),
        panels.EFFECTS_AT[at],
        f"minus {base} (points)",
        _x_ticks([along(float(column)) for column in range(len(places))], names),
        _y_ticks(up),
        tuple(series),
        (Rule(up(0.0), "no difference", "dense"),),
    )


def _effect(
    results: Results, place: Place, arm: str, base: str
) -> tuple[dict[str, float], str, bool] | None:
    comparison = results.scores.compare(place, arm, base)
    effect = comparison.effect
    if effect is None:
        return None
    low, high = effect.interval() if effect.known else (math.nan, math.nan)
    says = (
        f"{arm} minus {base} at {place.sparsity:.4g}: {effect.value:+.2f} points"
        f"{_interval(low, high, '+.2f')}; covers {effect.covers}"
    )
    return {"mean": effect.value, "low": low, "high": high}, says, not comparison.decides


def _x_ticks(places: Sequence[float], names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    shown = sparse(places, [_LETTER * (len(name) + 1) for name in names])
    both = zip(places, names, shown, strict=True)
    return tuple((place, name if show else "") for place, name, show in both)


def _y_ticks(up: Scale) -> tuple[tuple[float, str], ...]:
    return tuple((up(tick), f"{tick:g}") for tick in svg.round_ticks(up.low, up.high))


def legend(results: Results, charts: Sequence[Chart]) -> list[Style]:
    """Arms that are drawn somewhere, in the suite's order."""
    drawn = {series.style.arm for chart in charts for series in chart.series}
    return [style for style in arm_styles(results).values() if style.arm in drawn]
