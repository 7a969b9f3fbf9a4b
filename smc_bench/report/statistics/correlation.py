"""How sure a correlation is: a bootstrap over examples, the same resamples for every cell.

Pearson's and Spearman's correlations are no means over examples. Their error is the spread of the
correlation over :data:`RESAMPLES` resamples of the examples with replacement (Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapters 6 and 8). All cells with the same number of
examples see the same resamples (:data:`SEED`), so differences are paired by example.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smc_bench.report.statistics.stats import Floats

Correlation = Literal["pearson", "spearman"]

RESAMPLES = 2000
SEED = 20_231_213

# Published similarities have three digits after the point (STS-B); see ``gold_of``.
_DIGITS = 3


def resampled(kind: Correlation, said: Floats, gold: Floats, score: float) -> Floats:
    """Resamples of a correlation in points, scaled to stand for parts of the score.

    ``sqrt(B)`` times each resample's distance from their mean, around the score: the mean of the B
    numbers is the score, and the standard error of that mean is the bootstrap's.

    Args:
        kind: Which correlation.
        said: Output of each example, shape (E,).
        gold: Reference of each example, shape (E,).
        score: The correlation itself, in points.

    Returns:
        Shape (B,).
    """
    counts = resamples(len(said)).astype(np.float64)
    found = 100.0 * correlations(kind, said, gold, counts)
    parts: Floats = score + math.sqrt(RESAMPLES) * (found - found.mean())
    return parts


def correlations(kind: Correlation, said: Floats, gold: Floats, counts: Floats) -> Floats:
    """The correlation, -1..1, where each example counts so often; 0 where a side is constant.

    Args:
        kind: Which correlation.
        said: Output of each example, shape (E,).
        gold: Reference of each example, shape (E,).
        counts: How often each example counts, shape (B, E).

    Returns:
        Shape (B,).
    """
    if kind == "spearman":
        return _weighted(counts, _ranks(counts, said), _ranks(counts, gold))
    return _weighted(counts, said[None, :], gold[None, :])


@lru_cache(maxsize=2)
def resamples(examples: int) -> NDArray[np.uint16]:
    """How often each example is in each resample, shape (B, E); rows sum to E."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(examples, np.full(examples, 1.0 / examples), RESAMPLES).astype(np.uint16)


def gold_of(said: Floats, squared_errors: Floats) -> Floats:
    """References from outputs and squared errors, for results that do not hold them.

    Of the two numbers at that distance the one that has three digits, as published similarities
    have. Whoever uses them checks that the recorded score follows.
    """
    away = np.sqrt(squared_errors)
    either = np.stack([said - away, said + away])
    off = np.abs(either - either.round(_DIGITS))
    chosen: Floats = np.where(off[0] <= off[1], either[0], either[1])
    return chosen


def _weighted(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's r of each row of x and y, (B, E) or (1, E), each example counted so often."""
    total = counts.sum(axis=1)
    dx, dy = (side - ((counts * side).sum(axis=1) / total)[:, None] for side in (x, y))
    xx, yy, xy = ((counts * a * b).sum(axis=1) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    # Below this a side is constant but for rounding, as in smc_bench.tasks.metrics.
    least = np.finfo(np.float64).eps ** 0.75
    varied = [
        np.sqrt(squares) > least * np.sqrt(total) * float(np.abs(side).max())
        for squares, side in ((xx, x), (yy, y))
    ]
    found: Floats = np.divide(
        xy, np.sqrt(xx * yy), out=np.zeros_like(xy), where=varied[0] & varied[1]
    )
    return found


def _ranks(counts: Floats, values: Floats) -> Floats:
    """Mean rank of each example in each resample, ties sharing theirs; shape (B, E)."""
    _, group = np.unique(values, return_inverse=True)
    sizes = np.zeros((len(counts), int(group.max()) + 1))
    for example, at in enumerate(group):
        sizes[:, at] += counts[:, example]
    middle: Floats = (np.cumsum(sizes, axis=1) - (sizes - 1.0) / 2.0)[:, group]
    return middle
