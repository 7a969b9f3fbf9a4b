"""Tiny random models of every architecture, and units removed in ways of their own."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from smc_bench.models.units import Unit, units

ENCODERS = ("bert", "roberta", "distilbert", "electra", "mpnet")
AUTO = {
    "sequence_classification": AutoModelForSequenceClassification,
    "multiple_choice": AutoModelForMultipleChoice,
    "question_answering": AutoModelForQuestionAnswering,
}


def tiny(
    kind: str,
    *,
    head: str = "sequence_classification",
    layers: int = 3,
    heads: int = 4,
    groups: int = 2,
    size: int = 8,
    neurons: int = 24,
    **more: Any,
) -> Any:
    """A random model with large weights and biases, so that every unit is seen in the logits."""
    torch.manual_seed(0)
    hidden = heads * size
    settings = {
        "hidden_size": hidden, "dim": hidden, "num_hidden_layers": layers, "n_layers": layers,
        "num_attention_heads": heads, "n_heads": heads, "num_key_value_heads": groups,
        "head_dim": size, "intermediate_size": neurons, "hidden_dim": neurons, "vocab_size": 50,
        "embedding_size": 16, "initializer_range": 0.4, "max_position_embeddings": 64, **more,
    }  # fmt: skip
    config = AutoConfig.for_model(kind)
    for key, value in settings.items():
        if hasattr(config, key):
            setattr(config, key, value)
    if config.pad_token_id is None:
        config.pad_token_id = 0
    model = AUTO[head].from_config(config).eval()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3, generator=random)
    return model


def some(model: Any, share: float = 0.5, seed: int = 2) -> list[Unit]:
    """Units drawn at random, with all heads of layer 1 and all neurons of layer 2."""
    random = torch.Generator().manual_seed(seed)
    whole = {(1, "head"), (2, "neuron")}
    return [
        unit
        for unit in units(model)
        if float(torch.rand(1, generator=random)) < share or (unit.layer, unit.kind) in whole
    ]


@torch.no_grad()
def zero(model: Any, removed: list[Unit], *, outputs_alone: bool = False) -> Any:
    """Set the weights of units to zero, in place."""
    parameters = dict(model.named_parameters())
    for unit in removed:
        for part in unit.outputs if outputs_alone else unit.members:
            part.of(parameters[part.tensor]).zero_()
    return model


def logits(model: Any, head: str = "sequence_classification") -> torch.Tensor:
    """Outputs on a padded batch."""
    ids = torch.randint(5, 45, (3, 11), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    if head == "multiple_choice":
        given = {key: value[:, None].repeat(1, 2, 1) for key, value in given.items()}
        given["input_ids"][:, 1] = given["input_ids"][:, 1].roll(1, 0)
    with torch.no_grad():
        found = model(**given)
    return torch.cat([found[key].flatten() for key in found if key.endswith("logits")])
