"""Which arms are bold, against brute force with scipy's tests; intervals of comparisons cover."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smc_bench.errors import StoreError
from smc_bench.report.statistics.compare import Place, Scores
from smc_bench.report.statistics.examples import Examples, Parts
from smc_bench.report.statistics.significance import Significance

PLACE = Place("sst2", "", 0.8)

Values = dict[str, dict[int, float]]
"""Scores by arm and seed."""


class Given(Examples):
    """Answers by example that are given: right or wrong (100 or 0), by cell."""

    def __init__(self, answers: dict[str, np.ndarray] | None = None) -> None:
        self.answers = answers or {}

    def parts(self, cell_id: str, metric: str, score: float) -> Parts | None:
        found = self.answers.get(cell_id)
        return None if found is None else Parts(found, len(found), (str(len(found)),))

    def for_speed(self, cell_id: str) -> bool:
        return cell_id.startswith("fast")


def scores(values: Values, answers: dict[str, np.ndarray] | None = None) -> Scores:
    rows = [
        {
            "task": "sst2",
            "arm": arm,
            "compare_at": "",
            "sparsity": 0.0 if arm == "dense" else 0.8,
            "seed": seed,
            "cell": f"{arm}-{seed}",
            "metric": "accuracy",
            "value": value,
        }
        for arm, by_seed in values.items()
        for seed, value in by_seed.items()
    ]
    return Scores(pd.DataFrame(rows), Given(answers))


def p_of(one: dict[int, float], other: dict[int, float]) -> float | None:
    """Two-sided p by scipy; None where nothing is known of seeds."""
    a, b = list(one.values()), list(other.values())
    if len(a) == len(b) == 1:
        return None
    if one.keys() == other.keys():
        return float(stats.ttest_rel(a, [other[seed] for seed in one]).pvalue)
    if min(len(a), len(b)) > 1:
        return float(stats.ttest_ind(a, b, equal_var=False).pvalue)
    many, single = (a, b[0]) if len(a) > 1 else (b, a[0])
    t = (np.mean(many) - single) / (np.std(many, ddof=1) * np.sqrt(1.0 + 1.0 / len(many)))
    return float(2.0 * stats.t.sf(abs(t), len(many) - 1))


def bold_by_brute_force(values: Values) -> set[str]:
    pairs = [
        (one, other, p)
        for one, other in combinations(values, 2)
        if (p := p_of(values[one], values[other])) is not None
    ]
    subsets = [
        [i for i in range(len(pairs)) if mask >> i & 1] for mask in range(1, 1 << len(pairs))
    ]
    beaten = set()
    for i, (one, other, _) in enumerate(pairs):
        # Holm as the closed test of Bonferroni: every intersection that holds i is rejected.
        rejected = all(len(s) * min(pairs[j][2] for j in s) < 0.05 for s in subsets if i in s)
        if rejected:
            means = {arm: np.mean(list(values[arm].values())) for arm in (one, other)}
            beaten.add(min(means, key=lambda arm: means[arm]))
    return set(values) - beaten if beaten else set()


SEEDS = st.sets(st.integers(1, 4), min_size=1)


@st.composite
def tables(draw: st.DrawFn) -> Values:
    arms = "abcd"[: draw(st.integers(2, 4))]
    values: Values = {}
    for arm in arms:
        level = draw(st.sampled_from([60.0, 70.0, 71.0, 80.0]))
        seeds = draw(st.one_of(SEEDS, st.just({1, 2, 3, 4})))
        # A little noise of their own: no two values, and no two differences, are just equal.
        values[arm] = {
            seed: level + draw(st.integers(-20, 20)) / 10.0 + 0.01 * math.sin(7 * seed + ord(arm))
            for seed in sorted(seeds)
        }
    return values


@settings(max_examples=300, deadline=None)
@given(values=tables())
def test_bold_is_best_and_what_is_not_told_apart_from_it(values: Values) -> None:
    found = Significance(scores(values), "sst2", "").best(PLACE)
    assert found == bold_by_brute_force(values)
    if found:
        means = {arm: np.mean(list(by_seed.values())) for arm, by_seed in values.items()}
        assert max(means, key=lambda arm: means[arm]) in found


def test_the_worse_arm_is_not_bold_whatever_its_own_pairs_say() -> None:
    """A high third seed lifts the mean of the arm that is worse on the seeds of both."""
    values = {"a": {1: 70.0, 2: 70.1, 3: 95.0}, "b": {1: 75.0, 2: 75.1}}
    assert Significance(scores(values), "sst2", "").best(PLACE) == frozenset()


def test_nothing_is_bold_where_all_have_one_seed() -> None:
    rng = np.random.default_rng(0)
    answers = {f"{arm}-1": 100.0 * (rng.random(5000) < p) for arm, p in (("a", 0.9), ("b", 0.6))}
    values = {"a": {1: answers["a-1"].mean()}, "b": {1: answers["b-1"].mean()}}
    significance = Significance(scores(values, answers), "sst2", "")
    assert significance.best(PLACE) == frozenset()
    assert "one seed: evaluation noise only" in significance.note()


def test_two_cells_of_one_arm_and_seed_are_refused() -> None:
    data = pd.DataFrame(
        [
            {
                "task": "sst2",
                "arm": "a",
                "compare_at": "",
                "sparsity": 0.8,
                "seed": 1,
                "cell": cell,
                "metric": "accuracy",
                "value": 50.0,
            }
            for cell in ("x", "y")
        ]
    )
    with pytest.raises(StoreError, match="cells x and y are both a on sst2 with seed 1"):
        Scores(data, Given())


@pytest.mark.parametrize(("dense", "arm"), [(1, 3), (3, 3), (1, 5), (5, 5)])
def test_intervals_of_recovery_and_of_differences_to_dense_cover(dense: int, arm: int) -> None:
    """Seeds spread by a point; evaluation answers are drawn as well."""
    rng, runs = np.random.default_rng([dense, arm, 1]), 600
    hits = {"difference": 0, "recovery": 0}
    for _ in range(runs):
        lean = rng.uniform(-0.12, 0.12, 300)
        answers, values = {}, {}
        for name, count, level in (("dense", dense, 0.85), ("a", arm, 0.78)):
            values[name] = {}
            for seed in range(1, count + 1):
                reached = np.clip(level + 0.01 * rng.standard_normal() + lean, 0.0, 1.0)
                answers[f"{name}-{seed}"] = 100.0 * (rng.random(300) < reached)
                values[name][seed] = answers[f"{name}-{seed}"].mean()
        made = scores(values, answers)
        effect = made.compare(PLACE, "a", "dense").effect
        recovery = made.recovery(PLACE, "a")
        assert effect is not None
        assert recovery is not None
        means = {name: np.mean(list(by_seed.values())) for name, by_seed in values.items()}
        assert effect.value == pytest.approx(means["a"] - means["dense"])
        assert recovery.value == pytest.approx(100.0 * means["a"] / means["dense"])
        for name, found, truth in (
            ("difference", effect, -7.0),
            ("recovery", recovery, 100.0 * 0.78 / 0.85),
        ):
            low, high = found.interval()
            hits[name] += low <= truth <= high
    print(f"dense {dense}, arm {arm}: { ({k: n / runs for k, n in hits.items()}) }")
    # 0.95 less three standard errors of 600 runs; with two parts of error a little wide.
    assert all(0.923 <= n / runs <= 0.99 for n in hits.values())


def test_no_recovery_of_a_dense_score_that_may_be_zero() -> None:
    values = {"dense": {1: 2.0, 2: -1.5, 3: 1.0}, "a": {1: 5.0, 2: 4.0, 3: 6.0}}
    assert scores(values).recovery(PLACE, "a") is None
    assert scores({**values, "dense": {1: 80.0, 2: 80.5, 3: 81.0}}).recovery(PLACE, "a")


def test_other_examples_on_either_side_are_not_paired() -> None:
    rng = np.random.default_rng(0)
    answers = {f"a-{seed}": 100.0 * (rng.random(400) < 0.8) for seed in (1, 2, 3)}
    answers |= {f"b-{seed}": 100.0 * (rng.random(100) < 0.8) for seed in (1, 2, 3)}
    values = {
        arm: {seed: answers[f"{arm}-{seed}"].mean() for seed in (1, 2, 3)} for arm in ("a", "b")
    }
    made = scores(values, answers)
    effect = made.compare(PLACE, "a", "b").effect
    one, other = made.score(PLACE, "a"), made.score(PLACE, "b")
    assert effect is not None
    assert one is not None
    assert other is not None
    assert effect.examples == 100
    assert effect.se_examples == pytest.approx(np.hypot(one.se_examples, other.se_examples))


def test_a_speed_and_a_sparsity_are_not_one_column() -> None:
    """An arm pruned to be five times as fast stands at 0.8, but is no better at that sparsity."""
    values = {
        "fast": {1: 95.0, 2: 95.1, 3: 95.2},
        "good": {1: 90.0, 2: 90.1, 3: 90.3},
        "bad": {1: 80.0, 2: 80.1, 3: 80.2},
        "dense": {1: 96.0, 2: 96.1, 3: 96.2},
    }
    given = scores(values)
    apart = given.compare(PLACE, "fast", "good")
    assert apart.effect is None
    assert not apart.decides
    assert apart.apart == "fast was pruned for a speed, good for a sparsity"
    assert given.compare(PLACE, "good", "fast").apart == apart.apart
    assert given.compare(PLACE, "fast", "dense").effect is not None
    assert given.compare(PLACE, "fast", "fast 2").apart == ""
    assert Significance(given, "sst2", "").best(PLACE) == {"good"}
