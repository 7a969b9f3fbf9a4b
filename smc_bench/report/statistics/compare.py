"""Two arms against each other: paired where seeds and evaluation examples are the same.

What is compared are the means that the table shows, over all finished seeds of each side. Where
both sides have the same seeds these are differences by seed; else each side's spread counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from smc_bench.errors import StoreError
from smc_bench.report.statistics.examples import Examples, Parts
from smc_bench.report.statistics.stats import (
    Estimate,
    Floats,
    between,
    between_with_examples,
    mcnemar,
    over_seeds,
    over_seeds_and_examples,
)
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.tasks.directions import lower_is_better

# Squared size of a wholly discordant answer in points; see over_seeds_and_examples.
_PSEUDO = 100.0**2
UNBOUNDED = ("perplexity", "nats_per_token")
"""Scores of which an example's part can be any number: there no two examples are added."""


@dataclass(frozen=True)
class Place:
    """Where arms are compared: one column of a table, or a measured speed-up.

    Attributes:
        task: The task.
        compare_at: What is equal.
        sparsity: On the suite's axis; 0 where a speed-up is what is equal.
        speedup: How many times as fast as dense; None where a sparsity is equal.
    """

    task: str
    compare_at: str
    sparsity: float
    speedup: float | None = None

    def __str__(self) -> str:
        """The sparsity or the speed-up, for people."""
        if self.speedup is None:
            return f"{self.sparsity:.4g}"
        return f"{self.speedup:g} times as fast"


@dataclass(frozen=True)
class Comparison:
    """Arm minus other arm, in points of the task's metric.

    Attributes:
        place: Task, way of comparing and sparsity.
        arm: The first arm.
        against: The other arm.
        effect: The difference with its error, or None where nothing is finished on both sides.
        exact: McNemar's two-sided p and one-sided p of "the first is not better", where one seed
            answered right or wrong: about these two models, not about their arms.
        cells: Ids behind it, the first arm's first.
        one_seed: Whether an arm other than dense has one finished seed.
        apart: Why two finished arms can't be compared here: their curves do not meet, or one was
            pruned for a speed and the other to a sparsity.
        lower: Whether less of the metric is better.
    """

    place: Place
    arm: str
    against: str
    effect: Estimate | None
    exact: tuple[float, float] | None
    cells: tuple[str, ...]
    one_seed: bool = False
    apart: str = ""
    lower: bool = False

    @property
    def gain(self) -> Estimate | None:
        """How much better the first arm is: the effect, or where less is better its negative."""
        if self.effect is None or not self.lower:
            return self.effect
        return replace(self.effect, value=-self.effect.value)

    @property
    def decides(self) -> bool:
        """Whether it can say anything of the arms: each seed of training is another model."""
        return self.effect is not None and self.effect.over_seeds and not self.one_seed


class Scores:
    """Finished scores of a plan by place, arm and seed, with their parts by example."""

    def __init__(self, data: pd.DataFrame, examples: Examples) -> None:
        """Index the frame once; comparing then touches dictionaries only."""
        self.examples = examples
        self.metric = dict(zip(data["task"], data["metric"], strict=True))
        self._found: dict[tuple[Place, str], dict[int, tuple[str, float]]] = {}
        for row in data.itertuples():
            place = Place(str(row.task), str(row.compare_at), float(str(row.sparsity)))
            value = math.nan if row.value is None else float(str(row.value))
            cells = self._found.setdefault((place, str(row.arm)), {})
            cell, seed = str(row.cell), int(str(row.seed))
            if cells.setdefault(seed, (cell, value))[0] != cell:
                raise StoreError(
                    f"cells {cells[seed][0]} and {cell} are both {row.arm} on {row.task} with seed "
                    f"{seed}: they can't be told apart"
                )

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
        done = list(self.finished(place, arm).values())
        return _estimate(done) if done else None

    def recovery(self, place: Place, arm: str) -> Estimate | None:
        """Percent of the dense score; None where dense is not above zero beyond chance.

        Where less is better it is dense / arm, so that it stays below 100 where dense is better: of
        perplexities, the probability a token (geometric mean) as a share of the dense model's.
        A ratio's error by its linearisation (delta method): that of (a - r d) / d with r = a/d,
        where both a and d are known with error.
        """
        done, dense = self.finished(place, arm), self.finished(place, DENSE_ARM)
        if not done or not dense:
            return None
        if lower_is_better(self.metric[place.task]):
            done, dense = dense, done
        whole = _estimate(list(dense.values()))
        if whole.value <= 0.0 or (whole.known and whole.interval()[0] <= 0.0):
            return None
        scale = 100.0 / whole.value
        ratio = float(np.mean([score.value for score in done.values()])) / whole.value
        rest = _difference(
            {seed: score.times(scale) for seed, score in done.items()},
            {seed: score.times(scale * ratio) for seed, score in dense.items()},
        )
        return replace(rest, value=100.0 * ratio)

    def compare(self, place: Place, arm: str, against: str) -> Comparison:
        """Mean of an arm minus that of another, over the finished seeds of each."""
        first, second = self.finished(place, arm), self.finished(place, against)
        if not first or not second:
            return Comparison(place, arm, against, None, None, ())
        apart = "" if DENSE_ARM in (arm, against) else self._apart(arm, first, against, second)
        if apart:
            return Comparison(place, arm, against, None, None, (), apart=apart)
        effect, exact = contrast(first, second)
        cells = tuple(score.cell for side in (first, second) for score in side.values())
        counts = {arm: len(first), against: len(second)}
        alone = any(n == 1 for name, n in counts.items() if name != DENSE_ARM)
        lower = lower_is_better(self.metric[place.task])
        return Comparison(place, arm, against, effect, exact, cells, alone, lower=lower)

    def _apart(
        self, arm: str, first: dict[int, Score], against: str, other: dict[int, Score]
    ) -> str:
        """Why one column does not make two arms equal: one has a speed there, one a sparsity."""
        sides = {arm: first, against: other}
        fast = [
            name
            for name, scores in sides.items()
            if any(self.examples.for_speed(score.cell) for score in scores.values())
        ]
        if len(fast) != 1:
            return ""
        slow = against if fast == [arm] else arm
        return f"{fast[0]} was pruned for a speed, {slow} for a sparsity"

    def all_pairs(self, task: str, compare_at: str) -> list[Comparison]:
        """Every pair of arms at every sparsity of one table."""
        return [
            self.compare(place, one, other)
            for place in self.places(task, compare_at)
            for one, other in combinations(self.arms(place), 2)
        ]

    def finished(self, place: Place, arm: str) -> dict[int, Score]:
        """Finished scores of an arm at a place, by seed."""
        metric = self.metric[place.task]
        return {
            seed: Score(value, self.examples.parts(cell, metric, value), cell)
            for seed, (cell, value) in self.cells(place, arm).items()
            if math.isfinite(value)
        }


@dataclass(frozen=True)
class Score:
    """A score in points, its parts by example where they are known, and the cell it is of."""

    value: float
    parts: Parts | None
    cell: str

    def times(self, factor: float) -> Score:
        """The score in another unit."""
        parts = self.parts and replace(self.parts, values=factor * self.parts.values)
        return Score(factor * self.value, parts, self.cell)


def contrast(
    first: dict[int, Score], second: dict[int, Score]
) -> tuple[Estimate, tuple[float, float] | None]:
    """Mean of one side's seeds minus that of the other's, and McNemar's test of two models.

    Args:
        first: At least one score, by seed.
        second: The same of the other side.

    Returns:
        The difference, and McNemar's two-sided p and one-sided p of "the first is not better" where
        either side is one model that answered right or wrong.
    """
    exact = None
    if len(first) == len(second) == 1 and _alike([*first.values(), *second.values()]):
        exact = _mcnemar(*first.values(), *second.values())
    return _difference(first, second, _PSEUDO if _bounded(first) else 0.0), exact


def _bounded(scores: dict[int, Score]) -> bool:
    """Whether an example's answer is right or wrong, or something between."""
    known = [score.parts for score in scores.values() if score.parts is not None]
    return not any(kind in parts.source for parts in known for kind in UNBOUNDED)


def _difference(first: dict[int, Score], second: dict[int, Score], pseudo: float = 0.0) -> Estimate:
    """Mean minus mean: paired by seed where both have the same seeds, by example where they can."""
    paired = first.keys() == second.keys()
    one = list(first.values())
    other = [second[seed] for seed in first] if paired else list(second.values())
    if _alike([*one, *other]):
        a, b, examples = _stacked(one), _stacked(other), _examples(one)
        if paired:
            return over_seeds_and_examples(a - b, pseudo=pseudo, examples=examples)
        return between_with_examples(a, b, pseudo=pseudo, examples=examples)
    x, y = [score.value for score in one], [score.value for score in other]
    found = over_seeds([p - q for p, q in zip(x, y, strict=True)]) if paired else between(x, y)
    sides = [_estimate(side) for side in (one, other)]
    if not all(side.examples for side in sides):
        return found
    # Other examples on either side: both choices of examples are chance.
    error = math.hypot(*(side.se_examples for side in sides))
    return replace(found, se_examples=error, examples=min(side.examples for side in sides))


def _estimate(scores: Sequence[Score]) -> Estimate:
    if not _alike(scores):
        return over_seeds([score.value for score in scores])
    return over_seeds_and_examples(_stacked(scores), examples=_examples(scores))


def _alike(scores: Sequence[Score]) -> bool:
    """Whether all parts are known and of the same examples."""
    sources = {None if score.parts is None else score.parts.source for score in scores}
    return len(sources) == 1 and None not in sources


def _stacked(scores: Sequence[Score]) -> Floats:
    return np.stack([score.parts.values for score in scores if score.parts is not None])


def _examples(scores: Sequence[Score]) -> int:
    return min(score.parts.examples for score in scores if score.parts is not None)


def _mcnemar(one: Score, other: Score) -> tuple[float, float] | None:
    """McNemar's test where every answer of both is right or wrong."""
    a, b = _stacked([one]), _stacked([other])
    if not np.isin((a, b), (0.0, 100.0)).all():
        return None
    return mcnemar(int(np.sum(a > b)), int(np.sum(a < b)))
