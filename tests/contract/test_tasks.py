"""What every registered task must hold; new ones are picked up from SPECS by themselves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from smc_bench.errors import CorruptDataError, DivergedError
from smc_bench.tasks.base import Encoding, Scores
from smc_bench.tasks.collate import collate
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.specs import SPECS, TaskSpec
from tests.helpers.tokenizer import fixture_rows, wordpiece

CASES = [
    pytest.param(spec, split, id=f"{spec.name}-{split}")
    for spec in SPECS.values()
    for split in (spec.train_split, *(s.name for s in spec.eval_splits))
]
EVALS = [
    pytest.param(spec, s.name, id=f"{spec.name}-{s.name}")
    for spec in SPECS.values()
    for s in spec.eval_splits
]
ANSWERS = {
    "classification": "label",
    "regression": "label",
    "span": "answers",
    "generation": "answers",
}
WRITTEN = ("language_modelling", "generation")
TARGETS = {"span": {"start", "end"}, **{key: {"scored_from", "read"} for key in WRITTEN}}
ANSWERED = [spec for spec in SPECS.values() if spec.family != "language_modelling"]
TEXTS = [spec for spec in SPECS.values() if spec.family == "language_modelling"]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [json.dumps(row) for c in CASES for row in fixture_rows(*c.values)]
    found = wordpiece(texts)
    found.eos_token = "[SEP]"
    return found


def sequences(spec: TaskSpec, feature):
    return feature["input_ids"] if spec.family == "multiple_choice" else [feature["input_ids"]]


def told(spec: TaskSpec, rows) -> list[int]:
    """Rows that have features: all, but for texts without text."""
    if spec.family != "language_modelling":
        return list(range(len(rows)))
    return [i for i, row in enumerate(rows) if row[spec.columns[0]]]


def one_hot(size: int, at: int) -> np.ndarray:
    return np.where(np.arange(size) == at, 9.0, -9.0).astype(np.float32)


def perfect_outputs(spec: TaskSpec, rows, features):
    """Outputs that say just the target; windows without the answer say nothing clearly."""
    if spec.family == "generation":
        return [(np.array([f"The {row['answers']['text'][-1]}!"]),) for row in rows]
    found = []
    for feature in features:
        size = len(feature["input_ids"])
        if spec.family == "regression":
            found.append((np.array([feature["label"]], dtype=np.float32),))
        elif spec.family == "language_modelling":
            sure = np.zeros(size - feature["scored_from"], np.float32)
            found.append((sure, sure))
        elif spec.family != "span":
            found.append((one_hot(spec.labels, feature["label"]),))
        elif feature["start"]:
            found.append((one_hot(size, feature["start"]), one_hot(size, feature["end"])))
        else:
            found.append((np.zeros(size, np.float32), np.zeros(size, np.float32)))
    return found


@pytest.mark.parametrize(("spec", "split"), CASES)
def test_fixture_has_the_columns(spec: TaskSpec, split: str) -> None:
    rows = fixture_rows(spec, split)
    assert 6 <= len(rows) <= 10
    assert all(set(spec.columns) <= set(row) for row in rows)


@pytest.mark.parametrize("length", [48, None])
@pytest.mark.parametrize(("spec", "split"), CASES)
def test_features_keep_to_the_contract(spec: TaskSpec, split: str, length, tokenizer) -> None:
    rows = fixture_rows(spec, split)
    encoding = Encoding(length or spec.max_length, min(spec.stride, 12))
    features = get_task(spec.name).features(rows, tokenizer, encoding, train=True)
    assert sorted({f["example"] for f in features}) == told(spec, rows)
    assert all(0 < len(ids) <= encoding.max_length for f in features for ids in sequences(spec, f))
    targets = TARGETS.get(spec.family, {"label"})
    for feature in features:
        assert targets | {"input_ids", "example"} <= set(feature)
        if spec.family in WRITTEN:  # decoders tell no segments apart
            continue
        assert np.shape(feature["input_ids"][0]) == np.shape(feature["token_type_ids"][0])
        assert isinstance(feature.get("label", 0), float) == (spec.family == "regression")
    batch = collate(features, pad_token_id=0, head=get_task(spec.name).head)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["input_ids"].shape[:-1] == (
        (len(features), spec.labels) if spec.family == "multiple_choice" else (len(features),)
    )


@pytest.mark.parametrize(("spec", "split"), EVALS)
def test_perfect_outputs_score_100(spec: TaskSpec, split: str, tokenizer) -> None:
    rows, task = fixture_rows(spec, split), get_task(spec.name)
    encoding = Encoding(spec.max_length, spec.stride)
    targets = task.features(rows, tokenizer, encoding, train=True)
    features = task.features(rows, tokenizer, encoding, train=False)
    for feature, target in zip(features, targets, strict=True):
        ids = target["input_ids"]
        # What is to be written is not shown.
        shown = ids[: target["read"]] if spec.family == "generation" else ids
        assert feature["input_ids"] == shown
    scores = task.score(rows, features, perfect_outputs(spec, rows, targets))
    perfect = {"perplexity": 1.0, "nats_per_token": 0.0}
    assert scores.metrics == {n: pytest.approx(perfect.get(n, 100.0)) for n in spec.metrics}
    best = 0.0 if spec.family in ("regression", "language_modelling") else 1.0
    assert scores.correct == pytest.approx([best] * len(rows), abs=1e-9)


@pytest.mark.parametrize(("spec", "split"), EVALS)
def test_any_outputs_have_finite_scores(spec: TaskSpec, split: str, tokenizer) -> None:
    rows, task = fixture_rows(spec, split), get_task(spec.name)
    features = task.features(rows, tokenizer, Encoding(64, min(spec.stride, 16)), train=False)
    rng = np.random.default_rng(7)
    spans, texts = spec.family == "span", spec.family == "language_modelling"

    def some(feature) -> np.ndarray:
        if spec.family == "generation":
            return np.array([str(rng.choice(["", "a", "the river", "né\n"]))])
        size = len(feature["input_ids"]) if spans else spec.labels
        if texts:
            return rng.exponential(size=len(feature["input_ids"]) - 1).astype(np.float32)
        return rng.normal(size=size).astype(np.float32)

    outputs = [tuple(some(f) for _ in range(2 if spans or texts else 1)) for f in features]
    scores = task.score(rows, features, outputs)
    assert isinstance(scores, Scores)
    assert list(scores.metrics) == list(spec.metrics)
    assert all(math.isfinite(v) and -100 <= v <= 100 for v in scores.metrics.values())
    assert len(scores.weights) == (len(rows) if texts else 0)
    assert len(scores.predictions) == len(scores.correct) == len(rows)
    assert json.loads(json.dumps(scores.predictions)) == scores.predictions
    # The same outputs in another order of features are the same scores.
    order = rng.permutation(len(features))
    again = task.score(rows, [features[i] for i in order], [outputs[i] for i in order])
    assert again == scores
    if spec.family == "generation":  # texts are always finite
        return
    outputs[3][0][1 if spans else 0] = np.nan
    with pytest.raises(DivergedError, match=rf"row {features[3]['example']}\b"):
        task.score(rows, features, outputs)


@pytest.mark.parametrize(("spec", "split"), EVALS)
def test_trivial_gives_every_metric(spec: TaskSpec, split: str) -> None:
    if spec.family == "language_modelling":  # its baseline needs what was trained on
        assert get_task(spec.name).trivial(fixture_rows(spec, split)) == {}
        return
    found = get_task(spec.name).trivial(fixture_rows(spec, split))
    assert set(found) == set(spec.metrics)
    assert all(0 <= value < 100 for value in found.values())


@pytest.mark.parametrize(
    ("spec", "column"),
    [pytest.param(s, c, id=f"{s.name}-{c}") for s in SPECS.values() for c in s.columns],
)
def test_missing_column_is_named(spec: TaskSpec, column: str, tokenizer) -> None:
    rows = fixture_rows(spec, spec.train_split)
    del rows[2][column]
    with pytest.raises(CorruptDataError, match=rf"row 2\b.*'{column}'"):
        get_task(spec.name).features(rows, tokenizer, Encoding(64, 0), train=True)


@pytest.mark.parametrize("value", [-1, "", None, {"text": [], "answer_start": []}])
@pytest.mark.parametrize("spec", ANSWERED, ids=lambda spec: spec.name)
def test_unlabelled_row_is_named(spec: TaskSpec, value, tokenizer) -> None:
    column = ANSWERS.get(spec.family) or ("answerKey" if "answerKey" in spec.columns else "answer")
    rows = fixture_rows(spec, spec.train_split)
    rows[4][column] = value
    with pytest.raises(CorruptDataError, match=rf"row 4\b.*'{column}'"):
        get_task(spec.name).features(rows, tokenizer, Encoding(64, 0), train=True)


@pytest.mark.parametrize("value", [-1, None, ["a"], "half \ud800"])
@pytest.mark.parametrize("spec", TEXTS, ids=lambda spec: spec.name)
def test_row_without_a_text_is_named(spec: TaskSpec, value, tokenizer) -> None:
    rows, column = fixture_rows(spec, spec.train_split), spec.columns[0]
    rows[4][column] = value
    with pytest.raises(CorruptDataError, match=rf"row 4\b.*'{column}'"):
        get_task(spec.name).features(rows, tokenizer, Encoding(64, 0), train=True)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_no_rows_can_not_be_scored(spec: TaskSpec, tokenizer) -> None:
    task = get_task(spec.name)
    assert task.features([], tokenizer, Encoding(64, 0), train=False) == []
    with pytest.raises(ValueError, match="nothing to score"):
        task.score([], [], [])
