from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.loss.predict import predict
from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.models.components import component_map
from smc_bench.tasks.base import Feature, Head

HEADS: dict[Head, Any] = {
    "sequence_classification": AutoModelForSequenceClassification,
    "multiple_choice": AutoModelForMultipleChoice,
    "question_answering": AutoModelForQuestionAnswering,
}
PACKED = ["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra"]
SMALL = {
    "hidden_size": 32, "dim": 32, "num_hidden_layers": 2, "n_layers": 2, "num_attention_heads": 2,
    "n_heads": 2, "intermediate_size": 64, "hidden_dim": 64, "vocab_size": 50, "embedding_size": 16,
    "initializer_range": 0.3,
}  # fmt: skip


def model_of(kind: str, head: Head) -> Any:
    config = AutoConfig.for_model(kind)
    for key, value in SMALL.items():
        if hasattr(config, key):
            setattr(config, key, value)
    torch.manual_seed(0)
    return HEADS[head].from_config(config).eval()


def features_of(head: Head, count: int = 7) -> list[Feature]:
    rng = np.random.default_rng(3)

    def ids() -> list[int]:
        return [int(i) for i in rng.integers(5, 50, size=int(rng.integers(3, 30)))]

    found: list[Feature] = []
    for index in range(count):
        if head == "multiple_choice":
            feature: Feature = {"input_ids": [ids() for _ in range(3)], "label": index % 3}
            feature["token_type_ids"] = [[0] * 2 + [1] * (len(i) - 2) for i in feature["input_ids"]]
        else:
            feature = {"input_ids": ids(), "label": index % 2}
            feature["token_type_ids"] = [0] * 2 + [1] * (len(feature["input_ids"]) - 2)
        if head == "question_answering":
            feature |= {"start": 1, "end": 2}
            del feature["label"]
        found.append(feature | {"example": index})
    return found


def pad_of(model: Any) -> int:
    return int(model.config.pad_token_id or 0)


def feeds(kind: str, head: Head) -> tuple[Feed, Feed]:
    padded = Feed(model_of(kind, head), head, pad_of(model_of(kind, head)))
    model = model_of(kind, head)
    return padded, Feed(model, head, pad_of(model), padding="none")


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("kind", PACKED)
def test_packed_batches_give_the_padded_logits_and_gradients(kind: str, head: Head) -> None:
    features = features_of(head)
    padded, packed = feeds(kind, head)
    assert (padded.padding, packed.padding) == ("dynamic", "none")
    found = {}
    for feed in (padded, packed):
        objective = Objective(feed, features)
        loss = objective.task_loss(range(len(features)))
        loss.backward()
        gradients = {n: p.grad for n, p in feed.model.named_parameters() if p.grad is not None}
        found[feed.padding] = (predict(feed, features, 3), loss.detach(), gradients)
    (logits, loss, gradients), (ours, own_loss, own_gradients) = found["dynamic"], found["none"]
    for expected, got in zip(logits, ours, strict=True):
        for one, other in zip(expected, got, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=2e-6)
    torch.testing.assert_close(own_loss, loss, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == own_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own_gradients[name], gradient, rtol=1e-3, atol=1e-5)


def test_an_architecture_without_the_interface_is_padded() -> None:
    model = model_of("mpnet", "sequence_classification")
    feed = Feed(model, "sequence_classification", pad_of(model), padding="none")
    assert feed.padding == "dynamic"
    features = features_of("sequence_classification")
    assert len(predict(feed, features, 4)) == len(features)


def test_a_model_can_be_bound_twice() -> None:
    model = model_of("bert", "sequence_classification")
    features = features_of("sequence_classification")
    once = predict(Feed(model, "sequence_classification", 0, padding="none"), features, 4)
    twice = predict(Feed(model, "sequence_classification", 0, padding="none"), features, 4)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(once, twice, strict=True))


def test_input_moments_leave_padding_out_either_way() -> None:
    features = features_of("sequence_classification")
    moments = []
    for feed in feeds("bert", "sequence_classification"):
        names = component_map(feed.model).in_scope(["encoder"])
        moments.append(Calibration(Objective(feed, features), 0, 0).input_moments(names, 4, 3))
    for name, moment in moments[0].items():
        torch.testing.assert_close(moments[1][name], moment, rtol=1e-4, atol=1e-5)


def test_packing_leaves_no_trace_in_saved_settings(tmp_path: Any) -> None:
    model = model_of("bert", "sequence_classification")
    Feed(model, "sequence_classification", 0, padding="none")
    model.save_pretrained(tmp_path)
    assert "smc_bench" not in (tmp_path / "config.json").read_text()
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert again.config._attn_implementation == "sdpa"
