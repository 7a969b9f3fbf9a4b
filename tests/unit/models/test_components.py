from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from smc_bench.errors import ModelError
from smc_bench.models.components import component_map

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
    model.config = AutoConfig.for_model("gpt2")
    with pytest.raises(ModelError, match="gpt2"):
        component_map(model)
