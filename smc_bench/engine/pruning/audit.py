"""Measured sparsity of the saved weights, held against what the schedule promised."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from smc_bench.engine.context import Count, MeasuredSparsity
from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.methods.registry import is_free
from smc_bench.engine.pruning.structures import group_size
from smc_bench.engine.pruning.targets import target_zeros
from smc_bench.engine.recipe import COMPONENTS, Recipe
from smc_bench.errors import AuditError, ModelError
from smc_bench.models.components import ComponentMap

# Of the weights outside the masks some may come to be zero by themselves (underflow).
_NATURAL_ZEROS = 0.001


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ModelError: It is not there, or not whole.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a whole safetensors file: {error}") from error


def measure(weights: Mapping[str, Tensor], parts: ComponentMap, recipe: Recipe) -> MeasuredSparsity:
    """Count zeros of the prunable tensors by component, over the three denominators."""
    zeros = dict.fromkeys(COMPONENTS, 0)
    totals = dict.fromkeys(COMPONENTS, 0)
    for name, component in parts.prunable.items():
        zeros[component] += int((weights[name] == 0).sum())
        totals[component] += weights[name].numel()
    components = {name: Count(zeros[name], totals[name]) for name in COMPONENTS}
    return MeasuredSparsity(
        scope=Count(sum(zeros[c] for c in recipe.scope), sum(totals[c] for c in recipe.scope)),
        encoder=components["encoder"],
        model=Count(sum(zeros.values()), sum(parts.parameters.values())),
        components={str(name): count for name, count in components.items()},
    )


def left_by_tensor(
    weights: Mapping[str, Tensor], parts: ComponentMap
) -> dict[str, tuple[int, int]]:
    """Weights that are not zero, and all, of each prunable tensor."""
    return {
        name: (int(torch.count_nonzero(weights[name])), weights[name].numel())
        for name in parts.prunable
    }


def audit(
    weights: Mapping[str, Tensor],
    masks: Masks,
    parts: ComponentMap,
    recipe: Recipe,
    sparsity: float,
    natural: int = 0,
) -> MeasuredSparsity:
    """Measure the saved weights and fail where they are not as sparse as promised.

    Masks are held to the promised count and pruned weights to zero. Zeros outside the masks are a
    fault too, but for those that nobody has pruned (``natural``).

    Args:
        weights: Tensors read back from the saved file.
        masks: The final masks.
        parts: Component map of the model.
        recipe: The cell's recipe.
        sparsity: The schedule's final value.
        natural: Weights outside the masks that are known to be zero: they were so before training,
            or RigL has grown them and no gradient has moved them since.

    Raises:
        AuditError: If a weight is not finite, a pruned weight is not zero, the masks miss the
            target count, or many more weights outside the masks are zero.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise AuditError(f"{name} holds values that are not finite")
    measured = measure(weights, parts, recipe)
    if not masks:
        if sparsity > 0:
            raise AuditError(f"the schedule ends at {sparsity:.4f}, but nothing was pruned")
        return measured
    for name, mask in masks.items():
        alive = int((weights[name][~mask.cpu()] != 0).sum())
        if alive:
            raise AuditError(f"{name}: {alive} pruned weights are not zero in the saved file")
    if not is_free(recipe):
        _check_counts(measured, masks, parts, recipe, sparsity)
        _check_strays(measured, masks, natural)
    return measured


def _rounding(counted: list[str], masks: Masks, recipe: Recipe) -> int:
    """Weights by which the count may miss the target because it is rounded where it is made."""
    group = group_size(recipe.structure)
    if recipe.threshold == "per_row":
        return group * sum(masks[name].shape[0] for name in counted)
    return group * len(counted) if recipe.threshold == "per_layer" else group - 1


def _check_counts(
    measured: MeasuredSparsity,
    masks: Masks,
    parts: ComponentMap,
    recipe: Recipe,
    sparsity: float,
) -> None:
    totals = {name: count.total for name, count in measured.components.items()}
    what, expected = target_zeros(recipe, totals, sparsity)
    counted = [n for n in masks if what == "scope" or parts.prunable[n] == "encoder"]
    masked = sum(int((~masks[name]).sum()) for name in counted)
    slack = _rounding(counted, masks, recipe)
    if abs(masked - expected) > slack:
        raise AuditError(
            f"{masked} weights of the {what} are masked, but the schedule's final sparsity "
            f"{sparsity:.6f} means {expected}"
        )


def _check_strays(measured: MeasuredSparsity, masks: Masks, natural: int) -> None:
    stray = measured.scope.zeros - sum(int((~mask).sum()) for mask in masks.values()) - natural
    if stray > _NATURAL_ZEROS * measured.scope.total:
        raise AuditError(f"{stray} weights are zero in the saved file without being pruned")
