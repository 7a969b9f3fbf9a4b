from __future__ import annotations

import math
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from smc_bench.tasks import metrics
from smc_bench.tasks.metric_modules import (
    F1,
    Accuracy,
    MatthewsCorrelation,
    Pearson,
    Spearman,
    Squad,
)

CLASSES = (Accuracy, F1, MatthewsCorrelation)
CORRELATIONS = (Pearson, Spearman)
BINARY = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def question(name: str, *golds: str) -> dict:
    return {"id": name, "answers": {"text": list(golds), "answer_start": [0] * len(golds)}}


def said(name: str, text: str) -> dict:
    return {"id": name, "prediction_text": text}


@given(BINARY)
def test_classification_by_counting(pairs) -> None:
    ours, gold = [p for p, _ in pairs], [g for _, g in pairs]
    tp, fp = pairs.count((1, 1)), pairs.count((1, 0))
    fn, tn = pairs.count((0, 1)), pairs.count((0, 0))
    assert metrics.accuracy(ours, gold) == pytest.approx((tp + tn) / len(pairs))
    assert metrics.f1(ours, gold) == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp else 0.0)
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    expected = (tp * tn - fp * fn) / below if below else 0.0
    assert metrics.matthews_correlation(ours, gold) == pytest.approx(expected, abs=1e-12)


def test_correlations_by_formula() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20), rng.normal(size=20)
    r = np.corrcoef(x, y)[0, 1]
    rank = np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1]
    assert metrics.pearson(x, y) == pytest.approx(r)
    assert metrics.spearman(x, y) == pytest.approx(rank)
    # With ties, by hand: ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): r = 4.5 / sqrt(4.5 * 5).
    assert metrics.spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))


@pytest.mark.parametrize("name", metrics.METRICS)
@pytest.mark.parametrize(
    ("predictions", "references"), [([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([1], [1])]
)
def test_constants_are_quiet(name: str, predictions: list, references: list) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = metrics.METRICS[name](predictions, references)
    assert math.isfinite(value)
    if name not in {"accuracy", "f1"}:
        assert value == 0.0


def test_a_constant_but_for_rounding_has_no_correlation() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.pearson([3.0, 3.0 + 1e-15, 3.0], [1.0, 2.0, 3.0]) == 0.0


@pytest.mark.parametrize("name", metrics.METRICS)
def test_nothing_or_unequal_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        metrics.METRICS[name]([], [])
    with pytest.raises(ValueError, match="1 predictions for 2"):
        metrics.METRICS[name]([1], [1, 0])


def test_percent_is_times_100_in_the_order_asked_for() -> None:
    found = metrics.percent(("f1", "accuracy"), [1, 1, 0, 0], [1, 0, 0, 0])
    assert found == {"f1": pytest.approx(200 / 3), "accuracy": 75.0}
    assert list(found) == ["f1", "accuracy"]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Eiffel-Tower, a (big) tower!", "eiffeltower big tower"),
        ("AN apple\tand the\n pear", "apple and pear"),
        ("theatre Another a.m.", "theatre another am"),  # articles as whole words, after the dots
        ("a an the", ""),
        ("“Zürich” – 24–10", "“zürich” – 24–10"),  # punctuation beyond ASCII stays
        ("$1,000.50", "100050"),
    ],
)
def test_squad_normalisation_by_hand(text: str, normal: str) -> None:
    assert metrics.squad_normalize(text) == normal


@pytest.mark.parametrize(
    ("prediction", "golds", "f1", "exact"),
    [
        # Two of three predicted words are right, two of four gold ones are found: 2PR/(P+R).
        ("big red house", ["big red old barn"], 4 / 7, 0.0),
        ("cat cat", ["cat"], 2 / 3, 0.0),  # a word counts as often as it is in both
        ("the Cat.", ["dog", "cat"], 1.0, 1.0),
        ("in Paris", ["Paris", "in Paris, France"], 0.8, 0.0),  # 2/3 and 4/5: the better one
        ("", ["cat"], 0.0, 0.0),
        ("the", ["a"], 0.0, 1.0),  # the official script's own oddity: equal, with no word shared
    ],
)
def test_squad_by_hand(prediction: str, golds: list[str], f1: float, exact: float) -> None:
    assert metrics.best_f1(prediction, golds) == pytest.approx(f1)
    assert metrics.exact_match(prediction, golds) == exact
    both = metrics.squad([prediction, golds[0]], [golds, golds])
    perfect = metrics.best_f1(golds[0], golds)
    assert both["f1"] == pytest.approx(100 * (f1 + perfect) / 2)
    assert both["exact_match"] == pytest.approx(100 * (exact + 1) / 2)


@given(st.lists(st.sampled_from(["red", "old", "barn", "the", "Door,"]), max_size=6), st.data())
def test_token_f1_by_removing_words_one_by_one(gold: list[str], data) -> None:
    ours = data.draw(st.permutations(gold))[: data.draw(st.integers(0, 6))]
    mine = [w.lower().strip(",") for w in ours if w != "the"]
    left = [w.lower().strip(",") for w in gold if w != "the"]
    words, shared = len(left), 0
    for word in mine:
        if word in left:
            left.remove(word)
            shared += 1
    expected = 2 * shared / (len(mine) + words) if shared else 0.0
    assert metrics.token_f1(" ".join(ours), " ".join(gold)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("module", "key", "independent"),
    [
        (Accuracy, "accuracy", sk.accuracy_score),
        (F1, "f1", sk.f1_score),
        (MatthewsCorrelation, "matthews_correlation", sk.matthews_corrcoef),
        (Pearson, "pearsonr", lambda x, y: stats.pearsonr(x, y)[0]),
        (Spearman, "spearmanr", lambda x, y: stats.spearmanr(x, y)[0]),
    ],
)
def test_modules_have_the_hubs_keys_and_scales(module, key: str, independent) -> None:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 2, 50)
    ours = np.where(rng.random(50) < 0.7, gold, 1 - gold)
    if module in CORRELATIONS:
        ours, gold = ours + rng.normal(size=50), gold + rng.normal(size=50)
    metric = module()
    for _ in range(2):  # a module can be used again
        found = metric.compute(predictions=ours, references=gold)
        assert found == {key: pytest.approx(independent(gold, ours))}
    for start in (0, 25):
        metric.add_batch(predictions=ours[start:][:25], references=gold[start:][:25])
    assert metric.compute() == found


def test_squad_module_joins_by_id_and_takes_the_best_answer() -> None:
    predictions = [said("2", ""), said("1", "in Paris")]
    references = [question("1", "Paris", "in Paris"), question("2", "blue")]
    found = Squad().compute(predictions=predictions, references=references)
    assert found == {"exact_match": 50.0, "f1": 50.0}


def test_squad_module_refuses_what_does_not_join() -> None:
    with pytest.raises(ValueError, match="'3'"):
        Squad().compute(
            predictions=[said("1", "x"), said("3", "x")],
            references=[question("1", "x"), question("2", "x")],
        )
    with pytest.raises(ValueError, match="no gold answer"):
        Squad().compute(predictions=[said("1", "x")], references=[question("1")])


@pytest.mark.parametrize("module", [*CLASSES, *CORRELATIONS, Squad])
def test_modules_refuse_nothing(module) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        module().compute(predictions=[], references=[])
    with pytest.raises(ValueError, match="nothing to score"):
        module().compute()


def test_modules_write_nothing(tmp_path: Path) -> None:
    for module in (*CLASSES, *CORRELATIONS):
        module(cache_dir=str(tmp_path)).compute(predictions=[0, 1], references=[0, 1])
    golds = [question("1", "x")]
    Squad(cache_dir=str(tmp_path)).compute(predictions=[said("1", "x")], references=golds)
    assert list(tmp_path.rglob("*")) == []


def _worker(seed: int) -> tuple[float, float]:
    gold = np.random.default_rng(seed).integers(0, 2, 400)
    ours = np.random.default_rng(seed + 1).integers(0, 2, 400)
    found = Accuracy().compute(predictions=ours, references=gold)["accuracy"]
    return found, float((gold == ours).mean())


def test_processes_do_not_meet() -> None:
    # Forked, so that evaluate need not be imported (for seconds) in each process.
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        for found, expected in pool.map(_worker, range(12)):
            assert found == pytest.approx(expected)


def test_plain_functions_need_no_evaluate() -> None:
    code = (
        "import sys; from smc_bench.tasks import glue, multiple_choice, squad, metrics; "
        "print(sorted({'torch', 'evaluate', 'datasets', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
