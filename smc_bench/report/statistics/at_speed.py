"""Arms against each other at equal measured speed: each arm's curve of score against speed-up.

A curve is made seed by seed of an arm's cells at all their sparsities, each at the median speed-up
that was measured of it in one engine at one shape on one machine, and is straight between
neighbours in speed. It ends where the cells end: nothing is extrapolated. What is interpolated is
the score and its parts by example, so that seeds and examples stay paired and errors are those of
the same weighted means of scores. The error of the speed-up itself is not covered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from smc_bench.report.statistics.compare import Comparison, Place, Score, contrast

Point = tuple[float, Score]
"""A speed-up, and the score there."""


@dataclass(frozen=True)
class Curve:
    """One arm's scores by speed-up, seed by seed.

    Attributes:
        arm: The arm.
        points: By seed, in rising order of speed-up.
    """

    arm: str
    points: Mapping[int, tuple[Point, ...]]

    @classmethod
    def of(cls, arm: str, points: Iterable[tuple[int, float, Score]]) -> Curve:
        """The curve of seeds, speed-ups and scores in any order."""
        found: dict[int, list[Point]] = {}
        for seed, speedup, score in points:
            if math.isfinite(score.value) and math.isfinite(speedup):
                found.setdefault(seed, []).append((speedup, score))
        by_seed = {s: tuple(sorted(found[s], key=lambda point: point[0])) for s in sorted(found)}
        return cls(arm, by_seed)

    def at(self, speedup: float) -> dict[int, Score]:
        """Scores at a speed-up, of the seeds whose cells lie on both sides of it (or there)."""
        found = {seed: _between(points, speedup) for seed, points in self.points.items()}
        return {seed: score for seed, score in found.items() if score is not None}

    @property
    def tested(self) -> str:
        """From where to where its cells lie, in words."""
        speeds = [speed for points in self.points.values() for speed, _ in points]
        if not speeds:
            return f"{self.arm} was not measured"
        return f"{self.arm} was measured from {min(speeds):.2f} to {max(speeds):.2f} times as fast"


def _between(points: tuple[Point, ...], speedup: float) -> Score | None:
    exact = [score for speed, score in points if speed == speedup]
    if exact:
        return _mixed([(1.0 / len(exact), score) for score in exact])
    below = [point for point in points if point[0] < speedup]
    above = [point for point in points if point[0] > speedup]
    if not below or not above:
        return None
    (low, first), (high, second) = below[-1], above[0]
    share = (speedup - low) / (high - low)
    return _mixed([(1.0 - share, first), (share, second)])


def _mixed(weighed: list[tuple[float, Score]]) -> Score:
    """A weighted mean of scores; parts are kept where all are of the same examples."""
    value = sum(weight * score.value for weight, score in weighed)
    cell = " ".join(score.cell for _, score in weighed)
    parts = [score.parts for _, score in weighed]
    first = parts[0]
    if first is None or any(part is None or part.source != first.source for part in parts):
        return Score(value, None, cell)
    values = np.sum([w * s.parts.values for w, s in weighed if s.parts is not None], axis=0)
    return Score(value, replace(first, values=values), cell)


def compare_at_speed(place: Place, first: Curve, second: Curve) -> Comparison:
    """An arm minus another at the place's speed-up; without effect where the curves do not meet.

    Where one seed of a side reaches the speed-up and another does not, those that do are compared.
    """
    assert place.speedup is not None
    one, other = first.at(place.speedup), second.at(place.speedup)
    if not one or not other:
        why = "; ".join(c.tested for c, found in ((first, one), (second, other)) if not found)
        return Comparison(place, first.arm, second.arm, None, None, (), apart=why)
    effect, _ = contrast(one, other)
    cells = tuple(
        cell for side in (one, other) for score in side.values() for cell in score.cell.split()
    )
    alone = min(len(one), len(other)) == 1
    return Comparison(
        place, first.arm, second.arm, effect, None, tuple(dict.fromkeys(cells)), alone
    )
