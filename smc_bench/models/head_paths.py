"""How many ways through non-zero weights lead from a model's encoder to its logits.

A head is a chain of linear layers with functions of one unit each between them (BERT's pooler and
classifier, RoBERTa's dense layer and projection). A path takes one non-zero weight of each layer.
Where there is none, the logits are made of biases alone: the output can't depend on the input,
although every layer may have weights left.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from smc_bench.models.components import component_map


def head_paths(model: nn.Module, weights: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """Paths through the head that are left, and those of a dense head.

    The number of paths is the sum of the product of the layers' 0/1 matrices.

    Args:
        model: Says which tensors are its head's linear layers, in the order they are applied in.
        weights: Tensors by name, each (out, in).

    Returns:
        None where the head is no such chain: there are no linear layers of its own, what one gives
        is not what the next takes, or a norm stands among them (it mixes units).
    """
    modules = dict(model.named_modules())
    names = [n for n, part in component_map(model).prunable.items() if part == "head"]
    layers = [name.removesuffix(".weight") for name in names]
    if not layers or not all(isinstance(modules[name], nn.Linear) for name in layers):
        return None
    if len(layers) > 1 and any(_norm(modules, name) for name in layers):
        return None
    shapes = [tuple(weights[name].shape) for name in names]
    if any(before[0] != after[1] for before, after in pairwise(shapes)):
        return None
    # Whole numbers: float64 would round beyond 2^53, which four layers of 10,000 units pass.
    reached = torch.ones(shapes[0][1], dtype=torch.int64)
    for name in names:
        reached = (weights[name] != 0).to(torch.int64).cpu() @ reached
    return int(reached.sum()), prod([shapes[0][1], *(shape[0] for shape in shapes)])


def _norm(modules: Mapping[str, nn.Module], layer: str) -> bool:
    """Whether a norm stands beside a layer in the module that holds it."""
    owner = layer.rpartition(".")[0]
    return bool(owner) and any("Norm" in type(m).__name__ for m in modules[owner].children())
