"""Texts to windows, nats to perplexity, and what is told of models that ignore the context."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from smc_bench.errors import CorruptDataError, DivergedError, SmcBenchError
from smc_bench.tasks.base import Encoding
from smc_bench.tasks.directions import in_percent, in_words, lower_is_better
from smc_bench.tasks.language_modelling import windows
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.spec_checks import check_spec
from smc_bench.tasks.specs import SPECS, EvalSplit
from tests.helpers.tokenizer import fixture_rows, wordpiece

TASK = get_task("wikitext2")
ROWS = fixture_rows(TASK.spec, "train")
TOKENIZER = wordpiece(row["text"] for row in ROWS)


@pytest.mark.parametrize("length", [2, 3, 8, 16, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 15, 16, 50])
def test_every_token_but_the_first_is_scored_once_in_a_context_of_its_own_document(
    length: int, count: int
) -> None:
    document = list(range(1000, 1000 + count))
    found = list(windows(document, length))
    scored = [token for window in found for token in window[1:]]
    assert scored == document[1:]
    assert all(2 <= len(window) <= length for window in found)
    # What is before a scored token in its window is what is before it in the document.
    for window in found:
        assert window == document[document.index(window[0]) :][: len(window)]


def test_windows_never_cross_rows_and_rows_without_text_have_none() -> None:
    features = TASK.features(ROWS, TOKENIZER, Encoding(8), train=True)
    for index, row in enumerate(ROWS):
        ids = TOKENIZER(row["text"])["input_ids"] if row["text"] else []
        mine = [f["input_ids"] for f in features if f["example"] == index]
        assert [t for window in mine for t in window[1:]] == ids[1:]
        assert len(mine) == math.ceil(max(len(ids) - 1, 0) / 7)
    assert all(f["scored_from"] == 1 and f["read"] == len(f["input_ids"]) // 2 for f in features)


def test_texts_of_which_nothing_can_be_predicted_are_an_error() -> None:
    with pytest.raises(CorruptDataError, match="none of 2 rows has a text of two tokens or more"):
        TASK.features([{"text": ""}, {"text": "  "}], TOKENIZER, Encoding(8), train=True)


def test_perplexity_weighs_every_token_alike() -> None:
    """Two documents, of one and of three tokens: exp of the mean over four tokens."""
    features = [{"example": 0}, {"example": 1}, {"example": 1}]
    nats = [[0.5], [1.0, 2.0], [4.0]]
    outputs = [tuple([np.array(n, np.float32)] * 2) for n in nats]
    scores = TASK.score([{"text": "a"}, {"text": "b"}, {"text": ""}], features, outputs)
    assert scores.metrics == pytest.approx(
        {"perplexity": math.exp(7.5 / 4), "nats_per_token": 1.875}
    )
    assert (scores.correct, scores.weights) == ([0.5, 7.0, 0.0], [1.0, 3.0, 0.0])
    assert scores.predictions == [0.5, pytest.approx(7 / 3), None]


def test_what_no_perplexity_can_be_made_of_has_diverged() -> None:
    outputs = [(np.array([800.0], np.float32), np.array([0.0], np.float32))]
    with pytest.raises(DivergedError, match="800 nats a token"):
        TASK.score([{"text": "a"}], [{"example": 0}], outputs)


def test_the_baseline_is_a_unigram_model_with_add_one_smoothing() -> None:
    """Trained on a, a, b of five tokens: (2+1)/8, (1+1)/8 and 1/8 for those never seen."""
    a, b, c = 10, 11, 12
    seen = [{"input_ids": [c, a, b], "scored_from": 1}, {"input_ids": [b, a], "scored_from": 1}]
    held = [{"input_ids": [c, a, c], "example": 0, "scored_from": 1}]
    outputs = [(np.zeros(2, np.float32), np.zeros(2, np.float32))]
    nats = -(math.log(3 / 8) + math.log(1 / 8)) / 2
    found = TASK.baseline([{"text": ""}], held, outputs, seen, 5)
    assert found == pytest.approx({"perplexity": math.exp(nats), "nats_per_token": nats})


def test_directions_are_those_of_the_specs() -> None:
    assert lower_is_better("perplexity")
    assert lower_is_better("nats_per_token_validation2")
    assert not lower_is_better("accuracy_mm")
    assert not lower_is_better("anything_else")
    assert not in_percent("perplexity")
    assert in_percent("f1")
    assert in_words("accuracy") == "accuracy in %"
    assert in_words("perplexity") == "perplexity, lower is better"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lower_is_better": ()}, r"'wikitext2' has a metric 'perplexity' too, and says otherwise"),
        ({"not_percent": ("perplexity",)}, r"not_percent: the task .* 'nats_per_token' too"),
        ({"lower_is_better": ("loss",)}, "lower_is_better names 'loss', which is none of its"),
        ({"columns": ("a", "b")}, "one column, with texts"),
        ({"labels": 2}, "labels is always 1"),
        ({"eval_splits": (EvalSplit("a", "_a"), EvalSplit("a", "_b"))}, "something twice"),
    ],
)
def test_a_metric_means_the_same_in_all_tasks(changes: dict[str, object], message: str) -> None:
    spec = replace(SPECS["review_text"], name="mine", **changes)  # type: ignore[arg-type]
    with pytest.raises(SmcBenchError, match=message):
        check_spec(spec, own_scores=False)
