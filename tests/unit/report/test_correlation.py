"""Against scipy's own correlations and bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from smc_bench.report.statistics.correlation import (
    RESAMPLES,
    Correlation,
    correlations,
    gold_of,
    resampled,
    resamples,
)
from smc_bench.report.statistics.stats import over_seeds_and_examples

KNOWN = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def similarities(rng: np.random.Generator, size: int, noise: float) -> tuple[np.ndarray, ...]:
    gold = rng.integers(0, 26, size) / 5.0
    return gold, gold + noise * rng.standard_normal(size)


@pytest.mark.parametrize("kind", KNOWN)
def test_each_resample_has_the_correlation_that_scipy_finds(kind: Correlation) -> None:
    rng = np.random.default_rng(0)
    gold, said = similarities(rng, 60, 1.0)
    said = said.round(1)  # ties on both sides
    counts = resamples(60)
    assert (counts.sum(axis=1) == 60).all()
    found = correlations(kind, said, gold, counts.astype(np.float64))
    for b in range(0, RESAMPLES, 199):
        chosen = np.repeat(np.arange(60), counts[b])
        assert found[b] == pytest.approx(KNOWN[kind](said[chosen], gold[chosen]).statistic)


@pytest.mark.parametrize("kind", KNOWN)
def test_a_constant_side_has_no_correlation(kind: Correlation) -> None:
    gold = np.arange(10.0)
    for said in (np.full(10, 0.1), np.full(10, 0.1) + 1e-18):
        assert (correlations(kind, said, gold, np.ones((1, 10))) == 0.0).all()
    assert (resampled(kind, np.full(10, 2.5), gold, 0.0) == 0.0).all()


@pytest.mark.parametrize("kind", KNOWN)
def test_interval_is_that_of_a_bootstrap(kind: Correlation) -> None:
    rng = np.random.default_rng(1)
    gold, said = similarities(rng, 800, 1.2)
    score = 100.0 * KNOWN[kind](said, gold).statistic
    parts = resampled(kind, said, gold, score)
    found = over_seeds_and_examples(parts[None, :], examples=800)
    assert found.value == pytest.approx(score)
    known = stats.bootstrap(
        (said, gold),
        lambda x, y: 100.0 * KNOWN[kind](x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=rng,
    )
    assert found.se_examples == pytest.approx(known.standard_error, rel=0.1)
    low, high = found.interval()
    # As wide as the percentile interval, which lies lower by its bias.
    assert high - low == pytest.approx(np.ptp(known.confidence_interval), rel=0.1)
    assert found.covers == "800 examples, one seed: evaluation noise only"


def test_a_difference_is_paired_by_example() -> None:
    rng = np.random.default_rng(2)
    gold, one = similarities(rng, 600, 1.0)
    other = one + 0.2 * rng.standard_normal(600)
    parts = [
        resampled("pearson", said, gold, 100.0 * stats.pearsonr(said, gold).statistic)
        for said in (one, other)
    ]
    found = over_seeds_and_examples((parts[0] - parts[1])[None, :], examples=600)
    draws = []
    for _ in range(1500):
        c = rng.integers(600, size=600)
        r = [stats.pearsonr(said[c], gold[c]).statistic for said in (one, other)]
        draws.append(100.0 * (r[0] - r[1]))
    assert found.se_examples == pytest.approx(np.std(draws), rel=0.1)
    alone = over_seeds_and_examples(parts[0][None, :], examples=600)
    assert found.se_examples < 0.5 * alone.se_examples


def test_intervals_of_one_model_cover_its_correlation() -> None:
    rng, truth, runs = np.random.default_rng(3), 0.85, 400
    hits = 0
    for _ in range(runs):
        x, y = rng.multivariate_normal([0.0, 0.0], [[1.0, truth], [truth, 1.0]], 300).T
        score = 100.0 * stats.pearsonr(x, y).statistic
        low, high = over_seeds_and_examples(
            resampled("pearson", x, y, score)[None, :], examples=300
        ).interval()
        hits += low <= 100.0 * truth <= high
    assert 0.92 <= hits / runs <= 0.98  # 0.95 +- 2.7 standard errors of 400 runs


def test_references_follow_from_squared_errors_where_they_are_short_numbers() -> None:
    rng = np.random.default_rng(4)
    gold, said = similarities(rng, 500, 1.0)
    gold = np.float32(gold).astype(np.float64)
    found = gold_of(said, (said - gold) ** 2)
    assert np.mean(np.abs(found - gold) < 1e-6) > 0.99
    assert math.isclose(
        stats.pearsonr(said, found).statistic, stats.pearsonr(said, gold).statistic, rel_tol=1e-6
    )
