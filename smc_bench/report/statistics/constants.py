"""What answers that ignore the input would score: always the first class, always the commonest.

References are not kept with results. Where a cell is right they are what it said, and of two
classes X
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smc_bench.report.data.results import Results
from smc_bench.report.statistics.contributions import contributions
from smc_bench.report.statistics.examples import Rows, source_of
from smc_bench.suite.cell import Cell
from smc_bench.tasks.specs import SPECS

Labels = NDArray[np.int64]

_UNKNOWN = -1


@dataclass(frozen=True)
class Constant:
    """Scores in percent of two answers that never look at the input.

    Attributes:
        first: Of always the first class (or choice).
        commonest: Of always the class that is the reference most often.
        common: Which class that is, from 0.
    """

    first: float
    commonest: float
    common: int


class Constants:
    """Scores of constant answers on the splits that a suite's finished cells were evaluated on."""

    def __init__(self, results: Results) -> None:
        """Nothing is read before it is asked for."""
        self._results = results
        self._gold: dict[tuple[str, ...], Labels | None] = {}

    def of(self, cell: Cell, metric: str) -> Constant | None:
        """What they score on the metric's split; None where the references are not known."""
        spec, found = SPECS[cell.task.name], source_of(cell, metric)
        if found is None or spec.family not in ("classification", "multiple_choice"):
            return None
        split, kind = found
        rows = str(cell.recipe.evaluation.rows)
        pin = cell.data_pins.get(split, "")
        key = (cell.task.name, cell.task.config, split, pin, rows)
        if key not in self._gold:
            self._gold[key] = self._pooled(cell, split, spec.labels)
        gold = self._gold[key]
        if gold is None:
            return None

        def score(label: int) -> float:
            said = np.full(len(gold), label)
            right = (said == gold).astype(np.float64)
            return float(contributions(kind, said.tolist(), right.tolist()).mean())

        common = int(np.bincount(gold, minlength=spec.labels).argmax())
        return Constant(score(0), score(common), common)

    def _pooled(self, cell: Cell, split: str, labels: int) -> Labels | None:
        """References of a split, from all finished cells that answered the same rows."""
        gold: Labels | None = None
        for key in self._results.records:
            other = self._results.plan.cells[key]
            same = other.task == cell.task and other.data_pins == cell.data_pins
            if not same or other.recipe.evaluation.rows != cell.recipe.evaluation.rows:
                continue
            rows = self._results.scores.examples.rows(key, split)
            if rows is not None:
                gold, agree = merged(gold, rows, labels)
                if not agree:
                    return None
        return gold if gold is not None and (gold != _UNKNOWN).all() else None


def merged(gold: Labels | None, rows: Rows, labels: int) -> tuple[Labels | None, bool]:
    """References as far as some answers settle them, together with what is known already.

    Args:
        gold: What is known: a class for each row, or -1; None before the first answers.
        rows: ``predictions`` and ``correct`` of one cell.
        labels: Number of classes.

    Returns:
        The same with more known, and whether the answers agree with what was known before.
    """
    try:
        said = np.asarray(rows["predictions"], dtype=np.int64)
        right = np.asarray(rows["correct"], dtype=np.float64) == 1.0
    except (ValueError, TypeError):
        return gold, False
    if said.ndim != 1 or not len(said) or not 0 <= said.min() <= said.max() < labels:
        return gold, False
    known = np.where(right, said, 1 - said if labels == 2 else _UNKNOWN)
    if gold is None:
        return known, True
    if len(gold) != len(known):
        return gold, False
    both = (gold != _UNKNOWN) & (known != _UNKNOWN)
    # A class that was wrong here can't be the reference either.
    denied = ~right & (gold == said)
    agree = bool((gold[both] == known[both]).all()) and not denied.any()
    return np.where(gold == _UNKNOWN, known, gold), agree
