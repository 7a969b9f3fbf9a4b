"""Whether a model's output is constant, where that is known in advance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMultipleChoice, BertForQuestionAnswering

from smc_bench.engine.loss.constancy import ROUNDING, constancy, evenly
from smc_bench.engine.loss.model_inputs import Feed, Padding
from smc_bench.engine.loss.predict import predict
from tests.helpers.engine import tiny_classifier, tiny_features

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
PADDINGS: list[Padding] = ["none", "dynamic"]


def check(model: Any, head: Any, features: list[dict[str, Any]], padding: Padding) -> Any:
    # Batches of 7: most are of one size, the last is not.
    return constancy(predict(Feed(model, head, 0, padding=padding), features, 7), head)


def several(kind: type[Any]) -> Any:
    torch.manual_seed(0)
    return kind(BertConfig(**SIZES))


def questions() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    choices = [
        [[2, *map(int, rng.integers(4, 40, size=int(rng.integers(2, 9)))), 3] for _ in range(3)]
        for _ in range(20)
    ]
    return [{"input_ids": ids, "example": i, "label": 0} for i, ids in enumerate(choices)]


@torch.no_grad()
def empty(*layers: Any, bias: float | None = None) -> None:
    """All weights zero, and maybe biases too, as pruning may leave them."""
    for layer in layers:
        layer.weight.zero_()
        if bias is not None:
            layer.bias.fill_(bias)


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_working_classifier_is_not_constant(padding: Padding) -> None:
    found = check(tiny_classifier(), "sequence_classification", tiny_features(), padding)
    assert (found.rows, found.all_equal) == (24, False)


@pytest.mark.parametrize("padding", PADDINGS)
def test_an_empty_head_says_its_bias_whatever_it_is_asked(padding: Padding) -> None:
    model = tiny_classifier()
    empty(model.classifier)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([0.3, -0.1]))
    found = check(model, "sequence_classification", tiny_features(), padding)
    assert (found.all_equal, found.one_class) == (True, True)


@pytest.mark.parametrize("padding", PADDINGS)
def test_an_empty_pooler_makes_it_constant_too(padding: Padding) -> None:
    """tanh(bias) goes into a classifier that still has all its weights."""
    model = tiny_classifier()
    empty(model.bert.pooler.dense, bias=0.7)
    found = check(model, "sequence_classification", tiny_features(200), padding)
    assert (found.rows, found.all_equal, found.one_class) == (200, True, True)


def test_one_weight_is_enough_to_depend_on_the_input() -> None:
    """A share near 1 says nothing of the output: this head has one of its 32 weights left."""
    model = tiny_classifier()
    empty(model.classifier)
    with torch.no_grad():
        model.classifier.weight[0, 0] = 0.1
        model.classifier.bias.copy_(torch.tensor([5.0, 0.0]))
    found = check(model, "sequence_classification", tiny_features(), "none")
    # Its logits move, but never so far that another class wins.
    assert (found.all_equal, found.one_class) == (False, True)


def test_regression_has_no_classes() -> None:
    rows = [(np.array([v], dtype=np.float32),) for v in (1.5, 1.5, 1.5)]
    found = constancy(rows, "sequence_classification")
    assert (found.all_equal, found.one_class) == (True, None)
    rows[1] = (np.array([1.6], dtype=np.float32),)
    assert not constancy(rows, "sequence_classification").all_equal


@pytest.mark.parametrize("padding", PADDINGS)
def test_choices_that_all_score_the_same_are_constant(padding: Padding) -> None:
    model = several(BertForMultipleChoice)
    assert not check(model, "multiple_choice", questions(), padding).all_equal
    empty(model.classifier)
    found = check(model, "multiple_choice", questions(), padding)
    assert (found.rows, found.all_equal, found.one_class) == (20, True, True)


def test_scores_of_the_question_alone_choose_nothing() -> None:
    """Rows differ, but no choice ever differs from another."""
    rows = [(np.full(4, score, dtype=np.float32),) for score in (1.0, -2.0, 0.5)]
    assert constancy(rows, "multiple_choice").all_equal
    always_second = [(np.array([0.0, score], dtype=np.float32),) for score in (1.0, 2.0)]
    found = constancy(always_second, "multiple_choice")
    assert (found.all_equal, found.one_class) == (False, True)


@pytest.mark.parametrize("padding", PADDINGS)
def test_spans_are_constant_where_the_head_is_empty(padding: Padding) -> None:
    model, windows = several(BertForQuestionAnswering), tiny_features()
    working = check(model, "question_answering", windows, padding)
    assert (working.rows, working.all_equal, working.one_class) == (24, False, None)
    empty(model.qa_outputs, bias=0.2)
    assert check(model, "question_answering", windows, padding).all_equal


def test_spans_that_know_positions_only_do_not_know_the_input() -> None:
    by_place = np.array([0.1, 0.9, 0.4, 0.2], dtype=np.float32)
    windows = [(by_place[:n], -by_place[:n]) for n in (2, 4, 3)]
    assert constancy(windows, "question_answering").all_equal
    other = by_place.copy()
    other[3] += 0.01
    assert not constancy([*windows, (by_place, other)], "question_answering").all_equal


def test_equal_is_up_to_the_rounding_of_float32() -> None:
    base = np.array([3.0, -1.0], dtype=np.float32)
    next_up = np.nextafter(base, np.float32(10.0))
    assert constancy([(base,), (next_up,)], "sequence_classification").all_equal
    apart = base + np.float32(2 * ROUNDING * 3.0)
    assert not constancy([(base,), (apart,)], "sequence_classification").all_equal
    broken = np.array([np.nan, 0.0], dtype=np.float32)
    assert not constancy([(base,), (broken,)], "sequence_classification").all_equal


def test_a_part_of_the_training_rows_is_spread_over_all() -> None:
    assert evenly(3, 256) == [0, 1, 2]
    assert evenly(1000, 4) == [0, 250, 500, 750]
    chosen = evenly(67349, 256)
    assert len(set(chosen)) == 256
    assert max(chosen) < 67349
