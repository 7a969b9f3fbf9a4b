"""Masks with exact counts: which weights stay, by global or per-layer thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from smc_bench.engine.pruning.structures import group_size, kept_of
from smc_bench.engine.pruning.targets import pruned_count
from smc_bench.engine.pruning.units import RowBlocks, Units
from smc_bench.engine.recipe import Threshold
from smc_bench.errors import DivergedError

Masks = dict[str, Tensor]
"""For each prunable tensor in scope, True where a weight stays."""


def lowest(saliency: Tensor, count: int) -> tuple[Tensor, float]:
    """Mark exactly ``count`` least salient entries of a flat tensor; ties go to the first ones.

    Returns:
        A boolean tensor, True where an entry is among the lowest, and the threshold: the largest
        saliency among them (-inf for none).
    """
    if count <= 0:
        return torch.zeros_like(saliency, dtype=torch.bool), float("-inf")
    threshold = saliency.kthvalue(min(count, saliency.numel())).values
    below = saliency < threshold
    missing = count - int(below.sum())
    ties = torch.nonzero(saliency == threshold).flatten()[:missing]
    below[ties] = True
    return below, float(threshold)


def row_losers(saliency: Tensor, sparsity: float) -> Tensor:
    """True for the least salient share of each row; ties go to the first ones."""
    order = saliency.argsort(dim=-1, stable=True)
    losers = torch.zeros_like(saliency, dtype=torch.bool)
    return losers.scatter_(-1, order[..., : pruned_count(saliency.shape[-1], sparsity)], True)


def pattern_losers(saliency: Tensor, structure: str) -> Tensor:
    """True for the M - N least salient of each M weights of a row; ties go to the first ones.

    Args:
        saliency: (rows, columns), columns a multiple of M.
        structure: ``N:M``.
    """
    pattern = kept_of(structure)
    assert pattern is not None
    kept, size = pattern
    groups = saliency.reshape(-1, size)
    order = groups.argsort(dim=-1, stable=True)
    losers = torch.zeros_like(groups, dtype=torch.bool)
    return losers.scatter_(1, order[:, : size - kept], True).reshape(saliency.shape)


def update_masks(
    saliency: Mapping[str, Tensor],
    masks: Masks,
    sparsity: float,
    threshold: Threshold = "global",
    structure: str = "unstructured",
) -> Masks:
    """New masks at ``sparsity`` over all tensors given; what is pruned stays pruned.

    Args:
        saliency: Saliency of each tensor in scope.
        masks: Current masks of the same tensors.
        sparsity: Share of all these weights to be pruned, at least the present share.
        threshold: One threshold over all tensors, the same sparsity in each tensor, or the same
            in each row of each tensor (per output, as Wanda compares).
        structure: ``unstructured``, ``block4`` (four weights of a row go together, by the sum of
            their saliencies), or ``N:M`` (of each M weights of a row the N most salient stay:
            ``sparsity`` must then be 1 - N/M).

    Raises:
        DivergedError: If a saliency is not a number.
    """
    values = {name: ranked(name, saliency[name], masks[name]) for name in saliency}
    if kept_of(structure) is not None:
        return {name: ~pattern_losers(values[name], structure) for name in values}
    return prune_units(values, RowBlocks(group_size(structure)), sparsity, threshold)


def prune_units(
    saliency: Mapping[str, Tensor], units: Units, sparsity: float, threshold: Threshold
) -> Masks:
    """Masks without the least salient share of units.

    Args:
        saliency: By tensor, of its shape; -inf where a weight is pruned.
        units: What goes together.
        sparsity: Share of the units to be pruned.
        threshold: Over all units, in each group, or in each row of a group.
    """
    losers = _least(units.sums(saliency), sparsity, threshold)
    return {name: ~gone for name, gone in units.spread(losers).items()}


def _least(
    values: Mapping[str, Tensor], sparsity: float, threshold: Threshold
) -> dict[str, Tensor]:
    """True where a value is among the least ``sparsity`` of all, of its tensor or of its row."""
    if threshold == "per_row":
        return {name: row_losers(rows, sparsity) for name, rows in values.items()}
    if threshold == "per_layer":
        return {
            name: lowest(v.flatten(), pruned_count(v.numel(), sparsity))[0].view_as(v)
            for name, v in values.items()
        }
    everything = torch.cat([v.flatten() for v in values.values()])
    chosen, _ = lowest(everything, pruned_count(everything.numel(), sparsity))
    return _split(chosen, values)


def update_masks_by_part(
    saliency: Mapping[str, Tensor], masks: Masks, sparsity: float, part: list[str]
) -> Masks:
    """New masks where ``part`` reaches ``sparsity`` exactly and the rest falls with it.

    The threshold that leaves ``part`` (the encoder) at the target is applied to every tensor.
    """
    values = {name: ranked(name, saliency[name], masks[name]) for name in saliency}
    inside = torch.cat([values[name].flatten() for name in part])
    chosen, limit = lowest(inside, pruned_count(inside.numel(), sparsity))
    losers = _split(chosen, {name: masks[name] for name in part})
    for name in saliency:
        if name not in losers:
            losers[name] = values[name] < limit
    return {name: ~losers[name] for name in saliency}


def ranked(name: str, saliency: Tensor, mask: Tensor) -> Tensor:
    """A tensor's saliency, -inf where a weight is pruned already.

    Raises:
        DivergedError: If it is not finite.
    """
    if not bool(torch.isfinite(saliency).all()):
        raise DivergedError(f"the saliency of {name} is not finite: training has diverged")
    return saliency.masked_fill(~mask, float("-inf"))


def _split(flat: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    sizes = [tensor.numel() for tensor in like.values()]
    parts = zip(like.items(), torch.split(flat, sizes), strict=True)
    return {name: part.view(tensor.shape) for (name, tensor), part in parts}


@torch.no_grad()
def apply_masks(parameters: Mapping[str, nn.Parameter], masks: Masks) -> None:
    """Set every pruned weight to exactly zero, in place."""
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask, 0.0)
