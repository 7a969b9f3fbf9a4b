"""What a head starts from, where that is not its architecture's own initialisation.

Global magnitude pruning compares a new head (sd 0.02) with a pretrained encoder whose weights are
larger, so that the head goes first. These two beginnings take that difference away.
"""

from __future__ import annotations

from typing import Any

import torch

from smc_bench.models.components import component_map, head_parameters


@torch.no_grad()
def scale_head(model: Any) -> None:
    """Scale each prunable matrix of the head to the root mean square of the encoder's, in place.

    The encoder's is taken over all of its prunable weights together. A matrix of zeros stays.
    """
    parts = component_map(model)
    weights = dict(model.named_parameters())
    encoder = [weights[name] for name in parts.in_scope(("encoder",))]
    count = sum(weight.numel() for weight in encoder)
    target = (sum(weight.double().square().sum() for weight in encoder) / count) ** 0.5
    for name in parts.in_scope(("head",)):
        own = weights[name].double().square().mean().sqrt()
        if own > 0:
            weights[name].mul_(float(target / own))


@torch.no_grad()
def copy_head(model: Any, trained: Any) -> None:
    """Copy every parameter of the head, biases too, from a model of the same architecture."""
    theirs = dict(trained.named_parameters())
    ours = dict(model.named_parameters())
    for name in head_parameters(model):
        ours[name].copy_(theirs[name])
