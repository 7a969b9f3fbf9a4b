from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from smc_bench.errors import ModelError
from smc_bench.models.architecture import Component
from smc_bench.models.components import component_map
from smc_bench.models.conv1d import use_linear
from tests.helpers.architectures import tiny_config

SMALL = {
    "hidden_size": 32, "dim": 32, "num_hidden_layers": 2, "n_layers": 2, "num_attention_heads": 2,
    "n_heads": 2, "intermediate_size": 64, "hidden_dim": 64, "vocab_size": 50, "embedding_size": 16,
}  # fmt: skip
# Linear weights of two encoder blocks: four of 32x32 and two of 32x64 each.
ENCODER = 2 * (4 * 32 * 32 + 2 * 32 * 64)


def tiny(kind: str) -> torch.nn.Module:
    config = AutoConfig.for_model(kind)
    for key, value in SMALL.items():
        if hasattr(config, key):
            setattr(config, key, value)
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "mpnet"])
def test_every_parameter_has_one_component(kind: str) -> None:
    model = tiny(kind)
    parts = component_map(model)
    shapes = dict(model.named_parameters())
    assert sum(parts.parameters.values()) == sum(p.numel() for p in model.parameters())
    assert sum(shapes[n].numel() for n in parts.in_scope(["encoder"])) == ENCODER
    assert all(shapes[name].ndim == 2 for name in parts.prunable)
    assert not any("norm" in name.lower() for name in parts.prunable)
    assert parts.in_scope(["head"])
    assert any("word_embeddings" in name for name in parts.in_scope(["embeddings"]))


def test_unknown_architecture_is_named() -> None:
    model = torch.nn.Linear(2, 2)
    model.config = AutoConfig.for_model("bart")
    with pytest.raises(ModelError, match="bart"):
        component_map(model)


def language_model(**more: Any) -> torch.nn.Module:
    made = AutoModelForCausalLM.from_config(tiny_config("gpt2", **more))
    use_linear(made)
    return made


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (["embeddings"], r"transformer\.wte\.weight is tied to lm_head\.weight"),
        (["head", "encoder"], r"lm_head\.weight is tied to transformer\.wte\.weight"),
    ],
)
def test_a_tied_head_is_not_pruned_unasked(scope: list[Component], said: str) -> None:
    parts = component_map(language_model(tie_word_embeddings=True))
    wte = "transformer.wte.weight"
    with pytest.raises(ModelError, match=said):
        parts.in_scope(scope)
    assert wte not in parts.in_scope(["encoder"])
    both = parts.in_scope(["embeddings", "encoder", "head"])
    assert both.count(wte) == 1
    assert "lm_head.weight" not in both


def test_without_tying_each_is_pruned_by_itself() -> None:
    parts = component_map(language_model(tie_word_embeddings=False))
    assert parts.in_scope(["embeddings"]) == ["transformer.wte.weight"]
    assert parts.in_scope(["head"]) == ["lm_head.weight"]


def test_blocks_without_linear_layers_are_an_error() -> None:
    """As GPT-2's are, whose Conv1D is not a Linear layer, unless it was loaded here."""
    model = AutoModelForSequenceClassification.from_config(tiny_config("gpt2"))
    with pytest.raises(ModelError, match="nothing to prune in the blocks of this gpt2 model"):
        component_map(model)
