"""The saved weights held against the recipe: what should be zero is worked out anew, and counted.

Nothing here takes the pruner's word: what it says is checked against the file like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from smc_bench.engine.context import Count, MeasuredSparsity
from smc_bench.engine.pruning import unit_audit
from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.methods.registry import is_free
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.pruning.structures import unit_kinds
from smc_bench.engine.pruning.targets import Target, targets
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


def measure(
    weights: Mapping[str, Tensor],
    parts: ComponentMap,
    recipe: Recipe,
    units: ModelUnits | None = None,
) -> MeasuredSparsity:
    """Count zeros of the prunable tensors by component, over the denominators, and of units."""
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
        structure=None if units is None else Count(*units.zeros(weights)),
    )


def left_by_tensor(
    weights: Mapping[str, Tensor], parts: ComponentMap
) -> dict[str, tuple[int, int]]:
    """Weights that are not zero, and all, of each prunable tensor."""
    return {
        name: (int(torch.count_nonzero(weights[name])), weights[name].numel())
        for name in parts.prunable
    }


def zeros_by_tensor(weights: Mapping[str, Tensor], components: ComponentMap) -> dict[str, int]:
    """Weights of each prunable tensor that are zero."""
    return {name: int((weights[name] == 0).sum()) for name in components.prunable}


@dataclass(frozen=True)
class Claims:
    """What training says of its result: looked at, never taken for the measure.

    Attributes:
        masks: Masks in force at the end (True: stays).
        natural: Weights that stay and are zero for a reason that the method knows (RigL: grown, and
            moved by no gradient since); None: as many as before training.
    """

    masks: Masks
    natural: int | None = None


def audit(
    weights: Mapping[str, Tensor],
    components: ComponentMap,
    recipe: Recipe,
    sparsity: float,
    born: Mapping[str, int],
    claims: Claims,
    units: ModelUnits | None = None,
) -> MeasuredSparsity:
    """Measure the saved weights and fail where they are not as sparse as the recipe promises.

    What must be zero follows from recipe, sparsity and shapes (:mod:`targets`), and is counted in
    the saved file. Then the file is held against the masks that training had in force: they must
    have the same counts, what they prune must be zero, and few other weights may be.

    Args:
        weights: Tensors read back from the saved file.
        components: Component map of the model.
        recipe: The cell's recipe.
        sparsity: What its schedule says at the end of training.
        born: Zeros of each prunable tensor before training, such as padding rows.
        claims: What training says.
        units: Of the model, where the recipe removes whole units.

    Raises:
        AuditError: A weight is not finite, nothing was pruned, too few weights of a target are
            zero, many more than that are, a pruned weight is not zero, or masks miss a target.
    """
    _check_whole(weights, components)
    measured = measure(weights, components, recipe, units)
    if sparsity <= 0.0 and not claims.masks:
        return measured
    scope = {name: weights[name] for name in components.in_scope(recipe.scope)}
    if not claims.masks or set(claims.masks) != set(scope):
        _nothing(scope, claims, sparsity)
    _check_pruned(scope, claims.masks)
    if is_free(recipe):
        return measured
    natural = sum(born[name] for name in scope) if claims.natural is None else claims.natural
    if unit_kinds(recipe.structure):
        if units is None:
            raise AuditError(f"structure: {recipe.structure} can't be audited without the units")
        unit_audit.check(scope, claims.masks, recipe, units, sparsity)
        _check_strays(scope, claims.masks, natural)
        return measured
    shapes = {name: tuple(tensor.shape) for name, tensor in scope.items()}
    wanted = targets(recipe, shapes, components.prunable, sparsity)
    at = f"the schedule's final sparsity {sparsity:.6f}"
    for target in wanted:
        _check_file(target, scope, born, at)
        _check_masks(target, claims.masks, at)
    _check_strays(scope, claims.masks, natural)
    check_excess(wanted, scope, natural)
    return measured


def _check_whole(weights: Mapping[str, Tensor], components: ComponentMap) -> None:
    for name in components.prunable:
        if name not in weights:
            raise AuditError(f"{name} is not in the saved file")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise AuditError(f"{name} holds values that are not finite")


def _nothing(scope: Mapping[str, Tensor], claims: Claims, sparsity: float) -> None:
    missing = len(set(scope) - set(claims.masks))
    raise AuditError(
        f"the schedule ends at {sparsity:.4f}, but nothing was pruned in {missing} of "
        f"{len(scope)} tensors of the scope"
    )


def _check_pruned(scope: Mapping[str, Tensor], masks: Masks) -> None:
    for name, mask in masks.items():
        alive = int((scope[name][~mask.cpu()] != 0).sum())
        if alive:
            raise AuditError(f"{name}: {alive} pruned weights are not zero in the saved file")


def _counted(target: Target, zero: Mapping[str, Tensor]) -> int:
    """Zeros of a target, the fewest of any run where runs hold the count by themselves.

    Args:
        target: Tensors, run and block.
        zero: True where a weight is zero, by tensor.
    """
    counts = []
    for name in target.tensors:
        flat = zero[name].reshape(-1, target.block)
        # A block is zero as a whole or not at all.
        whole = (flat.all(dim=1, keepdim=True) & flat).reshape(-1)
        runs = whole.reshape(-1, target.run) if target.run else whole.reshape(1, -1)
        counts.append(int(runs.sum(dim=1).min()))
    return min(counts) if target.run else sum(counts)


def _check_file(
    target: Target, scope: Mapping[str, Tensor], born: Mapping[str, int], at: str
) -> None:
    zeros = _counted(target, {name: scope[name] == 0 for name in target.tensors})
    if zeros >= target.zeros:
        return
    where = f"each {target.run} in a row of {target.what}" if target.run else target.what
    before = sum(born[name] for name in target.tensors)
    if target.run is None and zeros <= before:
        raise AuditError(
            f"nothing was pruned: {zeros} weights of {where} are zero in the saved file, {before} "
            f"were before training, and {at} means {target.zeros}"
        )
    raise AuditError(
        f"{zeros} weights of {where} are zero in the saved file, but {at} means {target.zeros}"
    )


def _check_masks(target: Target, masks: Masks, at: str) -> None:
    masked = _counted(target, {name: ~masks[name].cpu() for name in target.tensors})
    size = sum(masks[name].numel() for name in target.tensors)
    expected = target.zeros * (size // target.run) if target.run else target.zeros
    total = sum(int((~masks[name]).sum()) for name in target.tensors)
    if masked != target.zeros or total != expected:
        raise AuditError(f"{total} weights of {target.what} are masked, but {at} means {expected}")


def _check_strays(scope: Mapping[str, Tensor], masks: Masks, natural: int) -> None:
    stray = sum(int(((scope[name] == 0) & mask.cpu()).sum()) for name, mask in masks.items())
    if stray - natural > _NATURAL_ZEROS * sum(tensor.numel() for tensor in scope.values()):
        raise AuditError(f"{stray} weights are zero in the saved file without being pruned")


def check_excess(targets: Sequence[Target], scope: Mapping[str, Tensor], natural: int) -> None:
    """The same without the masks: zeros in the file beyond all targets together."""
    zeros = expected = size = 0
    for target in targets:
        weights = sum(scope[name].numel() for name in target.tensors)
        size += weights
        zeros += sum(int((scope[name] == 0).sum()) for name in target.tensors)
        expected += target.zeros * (weights // target.run) if target.run else target.zeros
    if zeros - expected - natural > _NATURAL_ZEROS * size:
        raise AuditError(
            f"{zeros} weights are zero in the saved file, but the recipe means {expected}"
        )
