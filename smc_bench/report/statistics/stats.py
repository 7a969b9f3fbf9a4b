"""How sure a score or a difference is: intervals, tests, detectable differences.

A comparison has two sources of chance: the seed of training, and which examples are in the
evaluation split. Seeds are crossed with examples (every seed answers the same examples), so the
error of a mean over both is that of a two-way layout with random effects (Searle, Casella and
McCulloch, Variance Components, chapter 4):

    Var = s_seeds^2 / S  +  (s_examples^2 / E - s_interaction^2 / (S E)),

the interaction being in both of the squares and counted once. The two parts have S - 1 and E - 1
degrees of freedom, so each gets its own t quantile, and the half-widths add in quadrature (the
square-and-add interval of Zou and Donner, Statistics in Medicine 27, 2008). One pooled number of
degrees of freedom (Satterthwaite) covers too seldom with two or three seeds, and so does a
percentile bootstrap over seeds and examples: three resampled seeds spread less than three seeds.

Two sides with the same seeds are paired: their differences are one sample. Two sides with other
seeds are two samples, so that the spread of both counts (:func:`between`).

Only :mod:`scipy.special` is used: :mod:`scipy.stats` takes a second to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A score or a difference in points, with its error.

    Attributes:
        value: The estimate.
        seeds: Seeds behind it (of the first side, where two have different seeds); with one, the
            seed's part of the error is unknown and left out.
        examples: Evaluation examples whose choice the error covers; 0 if it covers none.
        se_seeds: Standard error over seeds.
        se_examples: Standard error over examples beyond that, with examples - 1.
        against: Seeds of the other side where the sides are not paired by seed; else None.
        df: Degrees of freedom of ``se_seeds`` where they are not seeds - 1.
    """

    value: float
    seeds: int
    examples: int = 0
    se_seeds: float = 0.0
    se_examples: float = 0.0
    against: int | None = None
    df: float | None = None

    @property
    def df_seeds(self) -> float:
        """Degrees of freedom of the seeds' part; 0 where nothing shows how seeds spread."""
        return self.seeds - 1.0 if self.df is None else self.df

    @property
    def over_seeds(self) -> bool:
        """Whether the error covers the seed of training."""
        return self.df_seeds > 0.0

    @property
    def known(self) -> bool:
        """Whether there is anything that shows the spread."""
        return self.over_seeds or self.examples > 1

    @property
    def covers(self) -> str:
        """What the interval covers, in words."""
        if not self.known:
            return "one seed and no results by example: no interval"
        if not self.over_seeds:
            return f"{self.examples} examples, one seed: evaluation noise only"
        examples = f" and {self.examples} examples" if self.examples else ""
        if self.against is None:
            return f"{self.seeds} seeds{examples}"
        text = f"{self.seeds} against {self.against} seeds, not paired{examples}"
        if min(self.seeds, self.against) == 1:
            text += "; the spread of the side with one seed is taken to be the other's"
        return text

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Two-sided interval; not a number where the spread is unknown."""
        half = self._half(0.5 + level / 2.0)
        return self.value - half, self.value + half

    def p_above(self, bound: float = 0.0) -> float:
        """One-sided p of "the truth is at most ``bound``": small where it is shown to be above."""
        return self._tail(self.value - bound)

    def p_below(self, bound: float = 0.0) -> float:
        """One-sided p of "the truth is at least ``bound``"."""
        return self._tail(bound - self.value)

    @property
    def p(self) -> float:
        """Two-sided p of "there is no difference"."""
        return min(1.0, 2.0 * min(self.p_above(), self.p_below()))

    def detectable(self, alpha: float = 1.0 - LEVEL, power: float = POWER) -> float:
        """Smallest true difference that a test at ``alpha`` would show with ``power``.

        Each part of the error by the noncentrality of its noncentral t, P(T > t_(1-alpha/2)) =
        power (Cohen, Statistical Power Analysis, chapter 2), then in quadrature as the intervals.
        """
        return self._quadrature(
            lambda df: special.nctdtrinc(df, 1.0 - power, special.stdtrit(df, 1.0 - alpha / 2.0))
        )

    def _half(self, probability: float) -> float:
        return self._quadrature(lambda df: special.stdtrit(df, probability))

    def _quadrature(self, factor: Callable[[float], float]) -> float:
        if not self.known:
            return math.nan
        seeds = float(factor(self.df_seeds)) * self.se_seeds if self.over_seeds else 0.0
        examples = float(factor(self.examples - 1.0)) * self.se_examples if self.examples else 0.0
        return math.hypot(seeds, examples)

    def _tail(self, above: float) -> float:
        """The p at which a one-sided interval from the value would just reach the bound."""
        if not self.known:
            return 1.0
        if above < 0.0:
            return 1.0 - self._tail(-above)
        low, high = 1e-15, 0.5
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self._half(1.0 - middle) < above else (middle, high)
        return high


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of one number a seed, with the t interval of its standard error.

    For a comparison paired by seed give the differences: this is then the paired t test.

    Raises:
        ValueError: If there is no value.
    """
    count = len(values)
    if not count:
        raise ValueError("there is nothing to average")
    spread = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    return Estimate(float(np.mean(values)), count, se_seeds=spread)


def over_seeds_and_examples(
    values: Floats, *, pseudo: float = 0.0, examples: int | None = None
) -> Estimate:
    """Mean over seeds and examples with the error of both (the module's formula).

    Args:
        values: One number for each seed and example, shape (S, E), in points; for a comparison the
            paired differences. A score that is no mean over examples gives its linearisation, or
            scaled resamples (:func:`smc_bench.report.statistics.correlation.resampled`).
        pseudo: Squared size of two added examples, half of one each way: 100^2 for differences of
            0/1 answers in points, so that few or no discordant answers are not taken for certainty
            (Agresti and Min, Statistics in Medicine 24, 2005). The value itself is not moved.
        examples: How many examples the columns stand for, where they are not one each.

    Raises:
        ValueError: If there is no value.
    """
    by_seed = over_seeds([float(value) for value in values.mean(axis=1)])
    count = values.shape[1] if examples is None else examples
    if min(count, values.shape[1]) < 2:
        return by_seed
    variance = _over_columns(values.mean(axis=0), pseudo)
    if len(values) > 1:
        variance = max(variance - _interaction(values) / len(values), 0.0)
    return replace(by_seed, examples=count, se_examples=math.sqrt(variance))


def between(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean of one sample of seeds minus that of another, each with its own spread.

    Welch's interval (Biometrika 34, 1947; degrees of freedom by Satterthwaite, Biometrics Bulletin
    2, 1946). Where one side has one seed its spread can't be known and is taken to be that of the
    other, s: the standard error is s sqrt(1/n + 1) with n - 1 degrees of freedom, which is
    Student's interval for one further value. Where both have one, nothing is known of seeds; nor
    where the other does not spread at all (a model that answers everything alike).

    Raises:
        ValueError: If a side has no value.
    """
    one, other = over_seeds(first), over_seeds(second)
    found = Estimate(one.value - other.value, one.seeds, against=other.seeds, df=0.0)
    if one.seeds == other.seeds == 1:
        return found
    if 1 in (one.seeds, other.seeds):
        known = max(one, other, key=lambda side: side.seeds)
        if not known.se_seeds:
            return found
        error = known.se_seeds * math.sqrt(1.0 + known.seeds)
        return replace(found, se_seeds=error, df=known.seeds - 1.0)
    parts = [(side.se_seeds**2, side.seeds - 1.0) for side in (one, other)]
    squared = sum(part for part, _ in parts)
    # Without any spread: the fewest degrees that the data can have.
    df = min(free for _, free in parts)
    if squared:
        df = squared**2 / sum(part**2 / free for part, free in parts)
    return replace(found, se_seeds=math.sqrt(squared), df=df)


def between_with_examples(
    first: Floats, second: Floats, *, pseudo: float = 0.0, examples: int | None = None
) -> Estimate:
    """:func:`between`, with the error over the examples that both sides answered.

    Args:
        first: One number for each seed and example, shape (S, E), in points.
        second: The same of the other side, shape (T, E).
        pseudo: As in :func:`over_seeds_and_examples`.
        examples: As there.

    Raises:
        ValueError: If a side has no value.
    """
    found = between(
        [float(value) for value in first.mean(axis=1)],
        [float(value) for value in second.mean(axis=1)],
    )
    count = first.shape[1] if examples is None else examples
    if min(count, first.shape[1]) < 2:
        return found
    variance = _over_columns(first.mean(axis=0) - second.mean(axis=0), pseudo)
    if found.over_seeds:
        # As with the spread, the interaction of a side with one seed is taken to be the other's.
        sides = [_interaction(side) if len(side) > 1 else None for side in (first, second)]
        known = [side for side in sides if side is not None]
        for side, seeds in zip(sides, (len(first), len(second)), strict=True):
            variance -= (known[0] if side is None else side) / seeds
    return replace(found, examples=count, se_examples=math.sqrt(max(variance, 0.0)))


def _over_columns(by_example: Floats, pseudo: float) -> float:
    """Variance of the mean over examples."""
    padded = len(by_example) + (2.0 if pseudo else 0.0)
    squares = float(np.sum((by_example - by_example.mean()) ** 2)) + pseudo
    return float(squares / (padded * (padded - 1.0)))


def _interaction(values: Floats) -> float:
    """What one seed's own way of answering examples adds to the variance of its mean."""
    seeds, examples = values.shape
    rest = values - values.mean(axis=1)[:, None] - values.mean(axis=0)[None, :] + values.mean()
    return float(np.sum(rest**2) / ((seeds - 1) * (examples - 1)) / examples)


def mcnemar(gains: int, losses: int) -> tuple[float, float]:
    """Exact McNemar test of two systems that answered the same examples.

    Args:
        gains: Examples that only the first got right.
        losses: Examples that only the second got right.

    Returns:
        Two-sided p, and one-sided p of "the first is not better" (binomial with 1/2 over the
        discordant examples; McNemar, Psychometrika 12, 1947).
    """
    discordant = gains + losses
    better = _at_most(losses, discordant)
    worse = _at_most(gains, discordant)
    return min(1.0, 2.0 * min(better, worse)), better


def _at_most(count: int, trials: int) -> float:
    return float(special.bdtr(count, trials, 0.5)) if trials else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
