from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from smc_bench.report.data.results import Results
from smc_bench.report.statistics.compare import Place
from smc_bench.report.statistics.contributions import contributions
from smc_bench.report.statistics.stats import over_seeds_and_examples
from smc_bench.report.tables import tables
from smc_bench.store.store import Store
from tests.helpers.records import finished, suite_file, write_cell

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


def stsb(folder: Path, *, gold: bool = True, off: float = 0.0, digits: int = 1) -> Results:
    """Two arms of one seed that answer STS-B's examples with different noise."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.0, 5.0, 300).round(digits)
    plan = finished(suite_file(folder, tasks="stsb", seeds="1"), folder / "r", lambda entry: None)
    store = Store(folder / "r")
    noise = {"dense": 0.5, "good": 0.8, "bad": 1.5}
    for entry in plan.entries:
        said = truth + noise[entry.arm] * rng.standard_normal(300)
        metrics = {
            "pearson": 100.0 * stats.pearsonr(said, truth).statistic + off,
            "spearman": 100.0 * stats.spearmanr(said, truth).statistic,
        }
        rows: dict[str, Any] = {"predictions": said.tolist()}
        rows["correct"] = ((said - truth) ** 2).tolist()
        rows |= {"gold": truth.tolist()} if gold else {}
        write_cell(store, entry, [1.0], metrics=metrics, rows=rows)
    return Results.of(plan, store)


@pytest.mark.parametrize("gold", [True, False])
def test_correlations_have_intervals_over_examples(gold: bool, tmp_path: Path) -> None:
    """References are stored, or (in older results) follow from squared errors."""
    results = stsb(tmp_path, gold=gold)
    place = Place("stsb", "", 0.8)
    score = results.scores.score(place, "good")
    assert score is not None
    assert score.covers == "300 examples, one seed: evaluation noise only"
    # Fisher's interval of a correlation, which knows nothing of resamples.
    r = score.value / 100.0
    known = 100.0 * np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / np.sqrt(297.0))
    low, high = score.interval()
    assert high - low == pytest.approx(np.ptp(known), rel=0.35)
    effect = results.scores.compare(place, "good", "bad").effect
    assert effect is not None
    assert effect.interval()[0] > 0.0
    assert results.scores.recovery(place, "good") is not None
    assert "300 examples" in tables.markdown(results)


def test_correlations_without_references_have_none(tmp_path: Path) -> None:
    """Sixteen digits in the references: which of two they are can't be told, so nothing is said."""
    score = stsb(tmp_path, gold=False, digits=16).scores.score(Place("stsb", "", 0.8), "good")
    assert score is not None
    assert not score.known


def test_a_correlation_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    results = stsb(tmp_path, off=0.1)
    assert results.data["value"].isna().all()
    assert set(results.data["state"]) == {"damaged"}
    assert all("another pearson follows" in problem for problem in results.problems)


def test_exact_match_has_parts_where_they_are_sure() -> None:
    assert contributions("exact", ["a", "b", "c"], [1.0, 0.5, 0.0]).tolist() == [100.0, 0.0, 0.0]


@pytest.mark.parametrize("matches", [2, 1])
def test_exact_match_of_a_suite(matches: int, tmp_path: Path) -> None:
    """One answer has all words in another order: its F1 is 1 and it is no match."""
    plan = finished(suite_file(tmp_path, tasks="squad", seeds="1"), tmp_path / "r", lambda _: None)
    rows = {"predictions": ["a b", "b a", "c", "d"], "correct": [1.0, 1.0, 0.5, 0.0]}
    metrics = {"f1": 62.5, "exact_match": 25.0 * matches}
    for entry in plan.entries:
        write_cell(Store(tmp_path / "r"), entry, [1.0], metrics=metrics, rows=rows)
    results = Results.of(plan, Store(tmp_path / "r"), "exact_match")
    score = results.scores.score(Place("squad", "", 0.8), "good")
    assert score is not None
    assert score.examples == (4 if matches == 2 else 0)


@pytest.mark.parametrize("kind", SCORES)
def test_intervals_of_scores_that_are_no_means_cover(kind: str) -> None:
    """At the sizes of MRPC (408) and RTE (277); a two-sided 95 % interval of one model."""
    rng, runs = np.random.default_rng(2), 600
    gold, said = answers(rng, 400_000, 0.6)
    truth = 100.0 * SCORES[kind](gold, said)
    for size in (408, 277):
        hits = 0
        for _ in range(runs):
            gold, said = answers(rng, size, 0.6)
            parts = contributions(kind, said.tolist(), (gold == said).astype(float).tolist())  # type: ignore[arg-type]
            low, high = over_seeds_and_examples(parts[None, :]).interval()
            hits += low <= truth <= high
        assert 0.923 <= hits / runs <= 0.977
