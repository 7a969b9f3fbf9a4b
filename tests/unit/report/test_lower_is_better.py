"""Perplexity of made-up models whose truth is known: less is better in all that is told of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from smc_bench.report.claims import text as verdict_text
from smc_bench.report.claims.verdicts import judge
from smc_bench.report.data.results import Results
from smc_bench.report.figures.plots import draw
from smc_bench.report.html.page import page
from smc_bench.report.statistics.compare import Place
from smc_bench.report.statistics.contributions import of_texts
from smc_bench.report.tables import tables
from smc_bench.store.store import Store
from smc_bench.suite.claims import Claim
from smc_bench.suite.expand import Entry, Plan
from smc_bench.suite.tuning import best, lower
from tests.helpers.records import finished, suite_file, write_cell

PLACE = Place("wikitext2", "", 0.8)
NATS = {"dense": 3.0, "good": 3.1, "bad": 3.4}
DOCUMENTS = 400


def write(store: Store, entry: Entry, nats: float) -> None:
    """Documents of 1 to 60 tokens, harder for all models alike where they are hard."""
    shared = np.random.default_rng(1)
    tokens = shared.integers(1, 61, DOCUMENTS).astype(float)
    hard = shared.normal(0.0, 0.3, DOCUMENTS)
    own = np.random.default_rng([entry.cell.seed, *entry.arm.encode()])
    sums = tokens * (nats + hard + own.normal(0.0, 0.02, DOCUMENTS) + own.normal(0.0, 0.01))
    rate = float(sums.sum() / tokens.sum())
    write_cell(
        store,
        entry,
        [0.0],
        metrics={"perplexity": math.exp(rate), "nats_per_token": rate},
        rows={
            "predictions": (sums / tokens).tolist(),
            "correct": sums.tolist(),
            "weights": tokens.tolist(),
        },
    )


def written(folder: Path) -> tuple[Plan, Store]:
    suite = suite_file(folder, tasks="wikitext2", more="dense: {seeds: [1, 2, 3]}")
    plan, store = finished(suite, folder / "r", lambda _: None), Store(folder / "r")
    for entry in plan.entries:
        write(store, entry, NATS[entry.arm])
    return plan, store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    return written(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def results(made: tuple[Plan, Store]) -> Results:
    found = Results.of(*made)
    assert not found.problems
    return found


@pytest.mark.parametrize("kind", ["perplexity", "nats_per_token"])
def test_parts_have_the_score_as_mean_and_the_bootstraps_error(kind: str) -> None:
    """Against 4000 resamples of whole documents, sums and tokens together."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(1, 80, 500).astype(float)
    nats = tokens * (2.5 + rng.normal(0, 0.5, 500))
    parts = of_texts(kind, nats.tolist(), tokens.tolist())  # type: ignore[arg-type]
    rate = nats.sum() / tokens.sum()
    assert parts.mean() == pytest.approx(rate if kind == "nats_per_token" else math.exp(rate))
    chosen = rng.integers(0, 500, (4000, 500))
    again = nats[chosen].sum(1) / tokens[chosen].sum(1)
    spread = (again if kind == "nats_per_token" else np.exp(again)).std()
    assert parts.std(ddof=1) / math.sqrt(500) == pytest.approx(spread, rel=0.06)


def test_differences_are_paired_by_document_without_added_answers(results: Results) -> None:
    found = results.scores.compare(PLACE, "good", "bad")
    assert found.effect is not None
    assert found.gain is not None
    assert found.effect.value == pytest.approx(math.exp(3.1) - math.exp(3.4), abs=0.6)
    assert found.gain.value == -found.effect.value
    assert found.effect.examples == DOCUMENTS
    # Alone a perplexity is known to about 1 by its documents; paired, much better.
    alone = results.scores.score(PLACE, "good")
    assert alone is not None
    assert found.effect.se_examples < 0.35 * alone.se_examples
    assert found.exact is None


def test_the_best_arm_has_the_lowest_perplexity(results: Results) -> None:
    assert results.significance("wikitext2", "").best(PLACE) == {"good"}


@pytest.mark.parametrize(
    ("arm", "direction", "effect", "word"),
    [
        ("good", "better", 2.0, "supported"),
        ("bad", "better", 2.0, "contradicted"),
        ("good", "no_worse", 1.0, "supported"),
        ("bad", "no_worse", 1.0, "contradicted"),
        ("good", "equal", 1.0, "contradicted"),
        ("good", "better", 50.0, "contradicted"),
    ],
)
def test_verdicts(results: Results, arm: str, direction: str, effect: float, word: str) -> None:
    claim = Claim.model_validate(
        {
            "says": "Good predicts better.",
            "source": "a made-up source",
            "mark": "ours",
            "suite": "made_up",
            "arm": arm,
            "against": {"good": "bad", "bad": "good"}[arm],
            "direction": direction,
            "effect": effect,
            "effect_from": "made up",
            "tasks": "wikitext2",
            "models": "minilm-l6",
            "sparsity": {"least": 0.5, "most": 0.95},
        }
    )
    verdicts = judge({"it": claim}, results)
    assert verdicts[0].word == word
    assert "lower is better" in verdict_text.markdown(results, verdicts)
    comparison = verdict_text.as_json(verdicts)[0]["comparisons"][0]
    assert comparison["lower_is_better"]
    assert (comparison["effect"] < 0.0) == (arm == "good")


def test_recovery_is_dense_over_the_arm_with_the_delta_methods_error(results: Results) -> None:
    found = results.scores.recovery(PLACE, "bad")
    assert found is not None
    means = {
        arm: results.scores.score(PLACE if arm != "dense" else Place("wikitext2", "", 0.0), arm)
        for arm in NATS
    }
    dense, bad = means["dense"], means["bad"]
    assert dense is not None
    assert bad is not None
    assert found.value == pytest.approx(100.0 * dense.value / bad.value)
    assert 60.0 < found.value < 75.0  # exp(-0.4) is 67 %
    assert found.interval()[0] < 100.0 * math.exp(-0.4) < found.interval()[1]
    itself = results.scores.recovery(PLACE, "dense")
    assert itself is not None
    assert itself.value == pytest.approx(100.0)


def test_tables_say_the_direction_and_no_percent(
    results: Results, made: tuple[Plan, Store], tmp_path: Path
) -> None:
    table = tables.markdown(results, recovery=True)
    assert "perplexity, lower is better: dense" in table
    assert "perplexity in %" not in table
    assert "dense divided by the arm" in table
    assert "every token of a document but its first is scored once" in table
    # 50 is the made-up unigram model's: only what is above it is no better.
    assert "no better than" not in table
    paper = tables.latex(results)
    assert "perplexity, lower is better" in paper
    assert "percent" not in paper
    shown = page(results, made[1])
    assert "perplexity, lower is better" in shown
    assert "perplexity (%)" not in shown
    assert draw(results, tmp_path)


def test_what_is_no_better_than_a_unigram_model_is_named(tmp_path: Path) -> None:
    plan, store = written(tmp_path)
    for entry in plan.entries:
        if entry.arm == "bad":
            write(store, entry, 4.0)  # exp(4) is above 50
    found = tables.markdown(Results.of(plan, store))
    named = next(line for line in found.splitlines() if "no better than" in line)
    assert "bad at 0.8" in named
    assert "good" not in named


def test_a_rate_is_chosen_by_the_lowest_perplexity() -> None:
    assert lower("wikitext2")
    assert not lower("sst2")
    assert best((1e-5, 1e-4, 1e-3), (30.0, 20.0, None), lower=True) == 1e-4
    assert best((1e-5, 1e-4), (20.0, 20.0), lower=True) == 1e-5
    assert best((1e-5, 1e-4), (30.0, 20.0)) == 1e-5
