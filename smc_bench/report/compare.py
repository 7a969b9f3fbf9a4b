"""Two arms against each other on the same seeds and the same evaluation examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from smc_bench.report.examples import Examples
from smc_bench.report.stats import (
    Estimate,
    Floats,
    mcnemar,
    over_seeds,
    over_seeds_and_examples,
)
from smc_bench.suite.expand import DENSE_ARM

# Squared size of a wholly discordant answer in points; see over_seeds_and_examples.
_PSEUDO = 100.0**2


@dataclass(frozen=True)
class Place:
    """One column of a table: where arms are compared."""

    task: str
    compare_at: str
    sparsity: float


@dataclass(frozen=True)
class Comparison:
    """Arm minus other arm, in points of the task's metric.

    Attributes:
        place: Task, way of comparing and sparsity.
        arm: The first arm.
        against: The other arm.
        effect: The difference with its error, or None where nothing is finished on both sides.
        exact: McNemar's two-sided p and one-sided p of "the first is not better", where one seed
            answered right or wrong.
        cells: Ids behind it, the first arm's first.
    """

    place: Place
    arm: str
    against: str
    effect: Estimate | None
    exact: tuple[float, float] | None
    cells: tuple[str, ...]

    @property
    def p(self) -> float:
        """Two-sided p of no difference; 1 where nothing is known."""
        if self.exact is not None:
            return self.exact[0]
        return 1.0 if self.effect is None else self.effect.p


class Scores:
    """Finished scores of a plan by place, arm and seed, with their parts by example."""

    def __init__(self, data: pd.DataFrame, examples: Examples) -> None:
        """Index the frame once; comparing then touches dictionaries only."""
        self.examples = examples
        self.metric = dict(zip(data["task"], data["metric"], strict=True))
        self._found: dict[tuple[Place, str], dict[int, tuple[str, float]]] = {}
        for row in data.itertuples():
            place = Place(str(row.task), str(row.compare_at), round(float(str(row.sparsity)), 9))
            value = math.nan if row.value is None else float(str(row.value))
            cells = self._found.setdefault((place, str(row.arm)), {})
            cells[int(str(row.seed))] = (str(row.cell), value)

    def places(self, task: str, compare_at: str) -> list[Place]:
        """Sparsities of pruned arms, in the plan's order."""
        found = [p for p, arm in self._found if (p.task, p.compare_at) == (task, compare_at)]
        return [place for place in dict.fromkeys(found) if place.sparsity > 0.0]

    def arms(self, place: Place) -> list[str]:
        """Arms that the plan has at a place."""
        return [arm for found, arm in self._found if found == place]

    def cells(self, place: Place, arm: str) -> dict[int, tuple[str, float]]:
        """Cell and score (not a number if not finished) of each seed; dense stands everywhere."""
        at = Place(place.task, "", 0.0) if arm == DENSE_ARM else place
        return self._found.get((at, arm), {}) or self._found.get(
            (Place(place.task, "", 0.0), arm), {}
        )

    def score(self, place: Place, arm: str) -> Estimate | None:
        """Mean score over the finished seeds, with its error."""
        done = list(self._done(place, arm).values())
        return _estimate(done) if done else None

    def recovery(self, place: Place, arm: str) -> Estimate | None:
        """Percent of the dense score, with the error of the arm against the dense cells as given.

        A ratio's error by its linearisation (delta method): the parts of a/d are
        r + (a_e - r d_e) / d with r = a/d.
        """
        done, dense = self._done(place, arm), _mean(self._done(place, DENSE_ARM))
        if not done or dense is None or dense.value == 0.0:
            return None
        ratios = []
        for score in done.values():
            ratio = score.value / dense.value
            rest = _combined(score.parts, dense.parts, -ratio)
            parts = None if rest is None else 100.0 * (ratio + rest / dense.value)
            ratios.append(_Score(100.0 * ratio, parts))
        return _estimate(ratios)

    def compare(self, place: Place, arm: str, against: str) -> Comparison:
        """Arm minus other arm, paired by seed; dense cells of other seeds count as given."""
        first, second = self._done(place, arm), self._done(place, against)
        if arm == DENSE_ARM:
            first = _everywhere(first, second)
        elif against == DENSE_ARM:
            second = _everywhere(second, first)
        common = [seed for seed in first if seed in second]
        pairs = [(first[seed], second[seed]) for seed in common]
        if not pairs:
            return Comparison(place, arm, against, None, None, ())
        differences = [
            _Score(a.value - b.value, _combined(a.parts, b.parts, -1.0)) for a, b in pairs
        ]
        exact = None
        parts = differences[0].parts
        if len(pairs) == 1 and parts is not None and all(score.binary for score in pairs[0]):
            exact = mcnemar(int(np.sum(parts > 0)), int(np.sum(parts < 0)))
        effect = _estimate(differences, _PSEUDO)
        cells = dict.fromkeys(
            cell for side in zip(*pairs, strict=True) for s in side for cell in s.cells
        )
        return Comparison(place, arm, against, effect, exact, tuple(cells))

    def all_pairs(self, task: str, compare_at: str) -> list[Comparison]:
        """Every pair of arms at every sparsity of one table."""
        return [
            self.compare(place, one, other)
            for place in self.places(task, compare_at)
            for one, other in combinations(self.arms(place), 2)
        ]

    def _done(self, place: Place, arm: str) -> dict[int, _Score]:
        metric = self.metric[place.task]
        return {
            seed: _Score(value, self.examples.parts(cell, metric, value), (cell,))
            for seed, (cell, value) in self.cells(place, arm).items()
            if math.isfinite(value)
        }


@dataclass(frozen=True)
class _Score:
    """A score in points, its parts by example where they are known, and the cells it is of."""

    value: float
    parts: Floats | None
    cells: tuple[str, ...] = ()

    @property
    def binary(self) -> bool:
        """Whether every example is right or wrong."""
        return self.parts is not None and bool(np.isin(self.parts, (0.0, 100.0)).all())


def _everywhere(dense: dict[int, _Score], other: dict[int, _Score]) -> dict[int, _Score]:
    mean = _mean(dense)
    return {} if mean is None else dict.fromkeys(other, mean)


def _mean(scores: dict[int, _Score]) -> _Score | None:
    if not scores:
        return None
    known = [score.parts for score in scores.values() if score.parts is not None]
    whole = len(known) == len(scores) and len({part.shape for part in known}) == 1
    mean = float(np.mean([score.value for score in scores.values()]))
    cells = tuple(cell for score in scores.values() for cell in score.cells)
    return _Score(mean, np.mean(known, axis=0) if whole else None, cells)


def _estimate(scores: list[_Score], pseudo: float = 0.0) -> Estimate:
    known = [score.parts for score in scores if score.parts is not None]
    if len(known) < len(scores) or len({part.shape for part in known}) != 1:
        return over_seeds([score.value for score in scores])
    return over_seeds_and_examples(np.stack(known), pseudo=pseudo)


def _combined(one: Floats | None, other: Floats | None, factor: float) -> Floats | None:
    """``one + factor * other`` where both answered the same examples."""
    if one is None or other is None or one.shape != other.shape:
        return None
    combined: Floats = one + factor * other
    return combined
