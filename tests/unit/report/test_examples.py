from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from smc_bench.report.examples import contributions
from smc_bench.report.stats import over_seeds_and_examples

SCORES = {"f1": sk.f1_score, "matthews_correlation": sk.matthews_corrcoef}


def answers(rng: np.random.Generator, size: int, skill: float) -> tuple[np.ndarray, np.ndarray]:
    gold = (rng.random(size) < 0.68).astype(int)
    said = np.where(rng.random(size) < skill, gold, rng.integers(0, 2, size))
    return gold, said


@pytest.mark.parametrize("kind", SCORES)
def test_parts_have_the_score_as_mean_and_its_bootstrap_error(kind: str) -> None:
    rng = np.random.default_rng(0)
    gold, said = answers(rng, 700, 0.6)
    parts = contributions(kind, said.tolist(), (gold == said).astype(float).tolist())
    assert parts.mean() == pytest.approx(100.0 * SCORES[kind](gold, said))
    draws = []
    for _ in range(300):
        chosen = rng.integers(700, size=700)
        draws.append(100.0 * SCORES[kind](gold[chosen], said[chosen]))
    found = over_seeds_and_examples(parts[None, :])
    assert found.se_examples == pytest.approx(np.std(draws), rel=0.13)


@pytest.mark.parametrize("kind", SCORES)
def test_parts_of_paired_systems_give_the_paired_bootstrap_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    gold, one = answers(rng, 900, 0.7)
    two = np.where(rng.random(900) < 0.9, one, rng.integers(0, 2, 900))
    both = [
        contributions(kind, said.tolist(), (gold == said).astype(float).tolist())
        for said in (one, two)
    ]
    draws = []
    for _ in range(300):
        c = rng.integers(900, size=900)
        draws.append(100.0 * (SCORES[kind](gold[c], one[c]) - SCORES[kind](gold[c], two[c])))
    found = over_seeds_and_examples((both[0] - both[1])[None, :])
    assert found.se_examples == pytest.approx(np.std(draws), rel=0.13)


def test_a_constant_answer_has_no_correlation_and_no_error() -> None:
    parts = contributions("matthews_correlation", [1] * 6, [1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    assert parts.tolist() == [0.0] * 6
    assert contributions("f1", [0] * 3, [1.0, 1.0, 1.0]).tolist() == [0.0] * 3


def test_means_are_their_own_parts() -> None:
    assert contributions("mean", ["a", "b"], [0.25, 1.0]).tolist() == [25.0, 100.0]
