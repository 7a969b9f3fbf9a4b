"""What a panel shows and where: the same for a figure on paper and a chart on a page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from smc_bench.report.data.curves import Curve
from smc_bench.report.data.results import Results
from smc_bench.report.tables.tables import headings
from smc_bench.suite.expand import DENSE_ARM

SAME_LEVEL = 0.005
"""Measured sparsities of one level that are no further apart share a tick."""

X_LABEL = {
    "sparsity": "target sparsity",
    "scope_sparsity": "sparsity of each arm's scope",
    "encoder_sparsity": "encoder sparsity",
    "model_sparsity": "whole-model sparsity",
}

EFFECTS_AT = {
    "": "target sparsity",
    "scope_sparsity": "sparsity of each arm's scope",
    "encoder_sparsity": "encoder sparsity",
    "model_sparsity": "whole-model zeros, as of this encoder sparsity",
}


def panels(results: Results) -> list[tuple[str, str]]:
    """Tasks with their ways of comparing."""
    return [(task, at) for task in results.tasks for at in results.ways(task)]


def baseline(results: Results) -> str:
    """The arm that effects are differences to: the first without changes, or the first."""
    arms = results.plan.loaded.suite.arms
    return next((arm for arm, patch in arms.items() if not patch), next(iter(arms)))


def beside(results: Results, curves: Sequence[Curve], task: str, at: str) -> list[Curve]:
    """Published curves of a panel, as far as its sparsities go.

    Publications count sparsity over what they prune: at an equal sparsity of something else their
    numbers have no place.
    """
    if at not in ("", "scope_sparsity"):
        return []
    levels = results.plan.loaded.suite.sparsity
    cut = [curve.within(min(levels), max(levels)) for curve in curves if curve.task == task]
    return [curve for curve in cut if len(curve.sparsity) > 1]


def rows_of(results: Results, task: str, at: str) -> pd.DataFrame:
    """Rows of the summary that a panel shows: pruned arms with a score."""
    table = results.summary
    chosen = (table["task"] == task) & (table["compare_at"] == at) & (table["arm"] != DENSE_ARM)
    return table[chosen & table["mean"].notna()]


def ticks(rows: pd.DataFrame, x: str) -> tuple[list[float], list[str]]:
    """Where sparsities were tested, on the axis of a panel, and what they are called.

    At each level the arms' mean; each arm's own place where a level has one sparsity for one arm
    and another for the next (arms of different scopes over the sparsity of the whole model).
    """
    found = rows.groupby("sparsity")[x].agg(["mean", "min", "max"]).dropna().sort_values("mean")
    apart = bool(((found["max"] - found["min"]) > SAME_LEVEL).any())
    places = sorted({round(v, 4) for v in rows[x].dropna()}) if apart else [*found["mean"]]
    names = headings([round(place, 4) for place in places])
    return [float(place) for place in places], names


def references(results: Results, task: str) -> tuple[float | None, float | None]:
    """Scores of the dense model, and of an answer that ignores the input, where they are known."""
    table = results.summary
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]["mean"].dropna()
    trivial = results.data.loc[results.data["task"] == task, "trivial"].dropna()
    first, second = (float(v.iloc[0]) if len(v) else None for v in (dense, trivial))
    return first, second
