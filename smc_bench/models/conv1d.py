"""GPT-2's Conv1D as the Linear layer that it is, so that all weights are (out, in).

``transformers.pytorch_utils.Conv1D`` stores its weight as (in, out). Scorers, thresholds of rows,
N:M patterns, blocks of oBERT and Wanda's norms of inputs all mean rows of outputs. So
these layers are replaced when a model is made, and their weights transposed back where they are
saved: the folder stays as transformers would write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class TransposedLinear(nn.Linear):
    """A Linear layer whose weight is stored as (in, out)."""


@torch.no_grad()
def use_linear(model: nn.Module) -> None:
    """Replace every Conv1D of a model by a Linear layer with the same weights, in place."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Conv1D):
            rows, columns = module.weight.shape
            layer = TransposedLinear(rows, columns, device="meta")
            layer.weight = nn.Parameter(module.weight.t().contiguous())
            layer.bias = module.bias
            layer.train(module.training)
            model.set_submodule(name, layer)


def transposed_weights(model: nn.Module) -> frozenset[str]:
    """Names of the weights that are stored as (in, out)."""
    return frozenset(
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, TransposedLinear)
    )


def as_stored(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's tensors as its file has them; those of a file as the model has them."""
    transposed = transposed_weights(model)
    return {n: t.t().contiguous() if n in transposed else t for n, t in weights.items()}


def save_model(model: Any, folder: Any) -> None:
    """Write a model as transformers would have, in one file.

    Args:
        model: As loaded here.
        folder: Where ``model.safetensors`` and ``config.json`` go.
    """
    state = as_stored(model, model.state_dict()) if transposed_weights(model) else None
    model.save_pretrained(folder, max_shard_size="1000GB", state_dict=state)
