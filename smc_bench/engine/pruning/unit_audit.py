"""The audit of removed units: which are dead in the saved file, and whether these are enough.

By the file first, without a look at masks or saliencies; then by the masks, which must hold whole
units and have the count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.pruning.speed import check_speed
from smc_bench.engine.pruning.targets import unit_zeros, units_each
from smc_bench.engine.recipe import Recipe
from smc_bench.errors import AuditError


def check(
    scope: Mapping[str, Tensor], masks: Masks, recipe: Recipe, units: ModelUnits, sparsity: float
) -> None:
    """Fail where other units are removed, or fewer or more, than a sparsity means.

    With one threshold over all, no unit that stays may still fit the count, so that the slack is
    less than the smallest of these. By layer the number of units is exact. Where the target is a
    speed, the time to spare is less than the dearest unit's.

    Args:
        scope: Saved weights, by tensor.
        masks: Masks in force at the end.
        recipe: Threshold and denominator.
        units: Of the model.
        sparsity: What the schedule says.

    Raises:
        AuditError: Naming what is wrong.
    """
    at = f"the schedule's final sparsity {sparsity:.6f}"
    target = recipe.target
    wanted = unit_zeros(recipe, sum(t.numel() for t in scope.values()), units.groups, sparsity)
    masked = {name: ~mask.cpu() for name, mask in masks.items()}
    _check_whole(masked, units)
    by_file = units.dead({name: tensor == 0 for name, tensor in scope.items()})
    for dead, where in ((by_file, "removed in the saved file"), (units.dead(masked), "masked")):
        if target is not None:
            check_speed(dead, units, target, sparsity, where)
        elif recipe.threshold == "per_layer":
            _check_each(dead, units, wanted, f"{where}, but {at}")
        else:
            _check_all(dead, units, wanted, f"{where}, but {at}")


def _check_whole(masked: Mapping[str, Tensor], units: ModelUnits) -> None:
    dead = units.spread(units.dead(masked))
    for name, pruned in masked.items():
        expected = dead[name].expand_as(pruned) if name in dead else torch.zeros_like(pruned)
        alone = int((pruned & ~expected).sum())
        if alone:
            raise AuditError(f"{name}: {alone} weights are masked without the rest of their unit")


def _check_each(dead: Mapping[str, Tensor], units: ModelUnits, wanted: int, end: str) -> None:
    for group, count in zip(units.groups, units_each(units.groups, wanted), strict=True):
        found = int(dead[group.name].sum())
        if found != count:
            raise AuditError(f"{found} of {group.count} {group.name} are {end} means {count}")


def _check_all(dead: Mapping[str, Tensor], units: ModelUnits, wanted: int, end: str) -> None:
    gone = {group.name: int(dead[group.name].sum()) for group in units.groups}
    zeros = sum(gone[group.name] * group.size for group in units.groups)
    stay = [group.size for group in units.groups if gone[group.name] < group.count]
    if zeros > wanted or (stay and wanted - zeros >= min(stay)):
        raise AuditError(
            f"units of {zeros} weights ({sum(gone.values())} units) are {end} means {wanted}, less "
            "what no whole unit fits into"
        )
