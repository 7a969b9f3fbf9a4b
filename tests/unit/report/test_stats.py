"""Against scipy, simulation and brute force; the code under test uses none of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from smc_bench.report.statistics.stats import (
    Estimate,
    between,
    between_with_examples,
    holm,
    mcnemar,
    over_seeds,
    over_seeds_and_examples,
)

A = [78.1, 80.4, 79.3, 77.7]
B = [76.0, 79.9, 76.2, 77.0]


def test_seeds_alone_give_the_paired_t_test() -> None:
    found = over_seeds([a - b for a, b in zip(A, B, strict=True)])
    known = stats.ttest_rel(A, B)
    assert found.p == pytest.approx(known.pvalue, rel=1e-6)
    assert found.interval() == pytest.approx(tuple(known.confidence_interval(0.95)))
    above = stats.ttest_rel(A, B, alternative="greater")
    assert found.p_above() == pytest.approx(above.pvalue, rel=1e-6)
    assert found.p_below() == pytest.approx(1.0 - above.pvalue, rel=1e-6)
    shifted = stats.ttest_rel([a - 1.0 for a in A], B, alternative="less")
    assert found.p_below(1.0) == pytest.approx(shifted.pvalue, rel=1e-6)
    assert found.covers == "4 seeds"


def test_one_number_has_no_interval_and_shows_nothing() -> None:
    found = over_seeds([3.0])
    assert not found.known
    assert all(math.isnan(bound) for bound in found.interval())
    assert math.isnan(found.detectable())
    assert found.p_above() == found.p_below() == found.p == 1.0
    with pytest.raises(ValueError, match="nothing to average"):
        over_seeds([])


def test_interval_and_p_agree_for_two_sources_of_error() -> None:
    found = Estimate(2.0, 3, 500, se_seeds=0.3, se_examples=0.5)
    for level in (0.8, 0.95, 0.99):
        low, high = found.interval(level)
        assert found.p_above(low) == pytest.approx((1 - level) / 2, rel=1e-4)
        assert found.p_below(high) == pytest.approx((1 - level) / 2, rel=1e-4)
    half = math.hypot(stats.t.ppf(0.975, 2) * 0.3, stats.t.ppf(0.975, 499) * 0.5)
    assert found.interval()[1] == pytest.approx(2.0 + half)


@pytest.mark.parametrize(("gains", "losses"), [(0, 0), (5, 0), (12, 3), (40, 41), (3, 12)])
def test_mcnemar_is_the_exact_binomial_test(gains: int, losses: int) -> None:
    both, one = mcnemar(gains, losses)
    if gains + losses == 0:
        assert (both, one) == (1.0, 1.0)
        return
    known = stats.binomtest(gains, gains + losses, 0.5)
    assert both == pytest.approx(known.pvalue)
    greater = stats.binomtest(gains, gains + losses, 0.5, alternative="greater")
    assert one == pytest.approx(greater.pvalue)


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = [float(x) for x in rng.random(5) ** 3]
        subsets = [[i for i in range(5) if mask >> i & 1] for mask in range(1, 32)]
        # Holm rejects i if Bonferroni rejects every intersection hypothesis that holds i.
        brute = [
            max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s)
            for i in range(5)
        ]
        assert holm(p) == pytest.approx(brute)


def outcomes(
    seeds: int, examples: int, spread: float, rng: np.random.Generator, share: float = 0.15
) -> tuple[NDArray[np.float64], float]:
    """Paired 0/1 differences in points, (S, E), and the true difference.

    A share of the examples is contested; who wins one depends on the seed, on the example, and on
    chance. With one seed the truth is that seed's.
    """
    contested = rng.random(examples) < share
    lean = rng.uniform(-0.2, 0.2, examples)
    pull = np.clip(rng.normal(0.0, spread, seeds), -0.29, 0.29)
    win = rng.random((seeds, examples)) < 0.51 + lean[None, :] + pull[:, None]
    values = 100.0 * np.where(win, 1.0, -1.0) * contested
    truth = 200.0 * share * (0.01 + (pull[0] if seeds == 1 else 0.0))
    return values, truth


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.1])
def test_95_percent_intervals_cover(seeds: int, spread: float) -> None:
    rng, runs = np.random.default_rng(seeds), 1500
    hits = 0
    for _ in range(runs):
        values, truth = outcomes(seeds, 600, spread, rng)
        low, high = over_seeds_and_examples(values, pseudo=1e4).interval()
        hits += low <= truth <= high
    noise = 3.0 * math.sqrt(0.95 * 0.05 / runs)
    # Square-and-add is known to be a little wide where both parts matter, never narrow.
    assert 0.95 - noise <= hits / runs <= 0.985 + noise / 2


def test_false_alarms_of_the_tests_are_at_most_their_level() -> None:
    rng, runs = np.random.default_rng(7), 1500
    alarms = 0
    for _ in range(runs):
        values, truth = outcomes(3, 600, 0.08, rng)
        alarms += over_seeds_and_examples(values - truth, pseudo=1e4).p < 0.05
    assert alarms / runs <= 0.05 + 3.0 * math.sqrt(0.95 * 0.05 / runs)


def test_standard_errors_are_those_of_a_bootstrap_over_seeds_and_examples() -> None:
    rng = np.random.default_rng(3)
    values, _ = outcomes(6, 500, 0.1, rng)
    found = over_seeds_and_examples(values)
    draws = np.empty(4000)
    for i in range(len(draws)):
        draws[i] = values[:, rng.integers(500, size=500)].mean()
    rest = values - values.mean(1)[:, None] - values.mean(0)[None, :] + values.mean()
    both = (rest**2).sum() / (5 * 499) / (6 * 500)
    assert found.se_examples == pytest.approx(math.sqrt(draws.var() - both), rel=0.05)
    for i in range(len(draws)):
        draws[i] = values[rng.integers(6, size=6)].mean()
    # Resampled seeds spread less by (S - 1)/S: why no percentile bootstrap is used.
    assert found.se_seeds == pytest.approx(draws.std() * math.sqrt(6 / 5), rel=0.05)


def test_one_seed_is_a_paired_bootstrap_over_examples() -> None:
    rng = np.random.default_rng(4)
    values, _ = outcomes(1, 800, 0.0, rng)
    found = over_seeds_and_examples(values)
    known = stats.bootstrap((values[0],), np.mean, n_resamples=4000, rng=rng, method="percentile")
    assert found.interval() == pytest.approx(tuple(known.confidence_interval), abs=0.2)
    assert found.covers == "800 examples, one seed: evaluation noise only"


def test_identical_answers_are_not_certainty() -> None:
    low, high = over_seeds_and_examples(np.zeros((1, 100)), pseudo=1e4).interval()
    assert low < -0.5
    assert high > 0.5


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_detectable_difference_is_found_with_the_stated_power(seeds: int) -> None:
    rng, spread, runs = np.random.default_rng(seeds), 1.3, 4000
    shown = Estimate(0.0, seeds, se_seeds=spread / math.sqrt(seeds)).detectable()
    values = rng.normal(shown, spread, (runs, seeds))
    t = values.mean(1) / (values.std(1, ddof=1) / math.sqrt(seeds))
    power = float(np.mean(t > stats.t.ppf(0.975, seeds - 1)))
    assert power == pytest.approx(0.8, abs=3.0 * math.sqrt(0.16 / runs))


def test_other_seeds_on_either_side_give_the_welch_interval() -> None:
    found = between(A, B[:3])
    known = stats.ttest_ind(A, B[:3], equal_var=False)
    assert found.p == pytest.approx(known.pvalue, rel=1e-6)
    assert found.interval() == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert found.covers == "4 against 3 seeds, not paired"


@pytest.mark.parametrize("turned", [False, True])
def test_one_value_against_many_is_the_prediction_interval(turned: bool) -> None:
    """Students t for one further value: the known spread s counts for both sides."""
    found = between([75.0], A) if turned else between(A, [75.0])
    error = np.std(A, ddof=1) * math.sqrt(1.0 / 4 + 1.0)
    half = stats.t.ppf(0.975, 3) * error
    value = (1 - 2 * turned) * (np.mean(A) - 75.0)
    assert found.interval() == pytest.approx((value - half, value + half))
    assert found.covers.endswith("the spread of the side with one seed is taken to be the other's")


def test_one_against_one_and_one_against_what_never_varies_know_nothing_of_seeds() -> None:
    for found in (between([80.0], [75.0]), between([50.9, 50.9, 50.9], [80.0])):
        assert not found.over_seeds
        assert not found.known
    same = between([50.9, 50.9, 50.9], [80.0, 81.0])
    assert same.interval() == pytest.approx(
        (50.9 - 80.5 - 12.706 * 0.5, 50.9 - 80.5 + 12.706 * 0.5), abs=1e-3
    )


def side(
    seeds: int, level: float, spread: float, lean: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Right or wrong answers in points, (S, E), of models around a level."""
    reached = level + spread * rng.standard_normal(seeds)
    right = rng.random((seeds, len(lean))) < np.clip(reached[:, None] + lean[None, :], 0.0, 1.0)
    return 100.0 * right


# How often 95 % intervals of arm minus dense hold the true difference, in 2000 runs: dense seeds,
# arm seeds, spread of dense and arm over seeds (0..1), and between what the coverage has to lie.
# Where dense has one seed its spread is taken to be the arm's: with twice as much it is covered a
# little too seldom, with half as much too often.
COVERAGE = [
    (1, 3, 0.02, 0.02, 0.94, 0.98),
    (3, 3, 0.02, 0.02, 0.94, 0.98),
    (1, 5, 0.02, 0.02, 0.94, 0.98),
    (5, 5, 0.02, 0.02, 0.94, 0.98),
    (2, 3, 0.02, 0.02, 0.94, 0.985),
    (3, 5, 0.01, 0.02, 0.94, 0.98),
    (3, 5, 0.02, 0.01, 0.94, 0.98),
    (1, 3, 0.01, 0.02, 0.94, 0.99),
    (1, 3, 0.02, 0.01, 0.91, 0.97),
]


@pytest.mark.parametrize(("dense", "arm", "dense_sd", "arm_sd", "least", "most"), COVERAGE)
def test_intervals_against_dense_cover(
    dense: int, arm: int, dense_sd: float, arm_sd: float, least: float, most: float
) -> None:
    rng, runs, hits = np.random.default_rng([dense, arm]), 2000, 0
    for _ in range(runs):
        lean = rng.uniform(-0.12, 0.12, 400)
        one, other = (side(arm, 0.78, arm_sd, lean, rng), side(dense, 0.85, dense_sd, lean, rng))
        found = (
            over_seeds_and_examples(one - other, pseudo=1e4)
            if arm == dense
            else between_with_examples(one, other, pseudo=1e4)
        )
        low, high = found.interval()
        hits += low <= -7.0 <= high
    assert least <= hits / runs <= most
    print(f"dense {dense}, arm {arm}, sd {dense_sd:g} and {arm_sd:g}: {hits / runs:.3f}")
