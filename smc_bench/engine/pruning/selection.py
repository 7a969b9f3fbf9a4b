"""From saliencies to masks under one recipe: denominator, threshold, structure and exact counts.

The one place that knows all of these; methods call it through :meth:`Pruner.choose`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from smc_bench.engine.pruning.latency import unreachable
from smc_bench.engine.pruning.masks import Masks, update_masks, update_masks_by_part
from smc_bench.engine.pruning.model_units import ModelUnits, remove_units
from smc_bench.engine.pruning.scorers.simple import Saliency
from smc_bench.engine.pruning.speed import check_table, remove_for_speed
from smc_bench.engine.pruning.structures import row_multiple
from smc_bench.engine.pruning.targets import share_of_scope, unit_target_problem, unit_zeros
from smc_bench.engine.recipe import COMPONENTS, Recipe
from smc_bench.errors import ModelError
from smc_bench.models.components import ComponentMap


class Selection:
    """Chooses masks over the scope of one recipe in one model."""

    def __init__(
        self,
        recipe: Recipe,
        components: ComponentMap,
        parameters: Mapping[str, nn.Parameter],
        units: ModelUnits | None = None,
    ) -> None:
        """Count the weights of each component.

        Args:
            recipe: Scope, denominator, threshold and structure.
            components: Component of each prunable tensor.
            parameters: All parameters of the model, by name.
            units: Those of the recipe's structure, where it removes whole units.

        Raises:
            ModelError: If a tensor's rows do not fit the recipe's structure.
        """
        self.recipe, self.components, self.units = recipe, components, units
        self.scope = {name: parameters[name] for name in components.in_scope(recipe.scope)}
        self.totals: dict[str, int] = dict.fromkeys(COMPONENTS, 0)
        for name, component in components.prunable.items():
            self.totals[component] += parameters[name].numel()
        self._check_rows()

    def _check_rows(self) -> None:
        multiple = row_multiple(self.recipe.structure)
        for name, parameter in self.scope.items():
            if parameter.shape[-1] % multiple:
                raise ModelError(
                    f"{name} has rows of {parameter.shape[-1]} weights: structure "
                    f"{self.recipe.structure} needs a multiple of {multiple}; change the scope"
                )

    def check_reachable(self, sparsity: float) -> None:
        """Fail where whole units can't come to a sparsity, or a speed.

        Raises:
            ModelError: Naming the largest that can be reached.
        """
        target = self.recipe.target
        if self.units is not None and target is not None:
            check_table(target.measured, self.units)
            problem = unreachable(target, self.recipe.structure)
            if problem is not None:
                raise ModelError(problem)
        elif self.units is not None:
            scope, groups = self.totals["encoder"], self.units.groups
            problem = unit_target_problem(self.recipe, scope, groups, sparsity)
            if problem is not None:
                raise ModelError(problem)

    def _unit_zeros(self, sparsity: float) -> int:
        assert self.units is not None
        return unit_zeros(self.recipe, self.totals["encoder"], self.units.groups, sparsity)

    def masks(self, saliency: Saliency, old: Masks, sparsity: float) -> Masks:
        """Masks at a sparsity of the schedule.

        Args:
            saliency: For each tensor of the scope one of the same shape.
            old: Masks whose pruned weights stay pruned; a tensor without one is dense.
            sparsity: What the schedule says; of the dense time, where the target is a speed.

        Raises:
            DivergedError: If a saliency is not finite.
        """
        recipe = self.recipe
        old = old or {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.scope.items()}
        if self.units is not None and recipe.target is not None:
            return remove_for_speed(saliency, old, self.units, recipe.target, sparsity)
        if self.units is not None:
            return remove_units(saliency, old, self.units, self._unit_zeros(sparsity), recipe)
        if recipe.sparsity_over == "encoder":
            encoder = [name for name in old if self.components.prunable[name] == "encoder"]
            return update_masks_by_part(saliency, old, sparsity, encoder)
        share = share_of_scope(recipe, self.totals, sparsity)
        return update_masks(saliency, old, share, recipe.threshold, recipe.structure)

    def shares(self, masks: Masks) -> dict[str, float]:
        """Sparsity of masks over the scope and over the encoder's component of it."""
        pruned = {name: int((~mask).sum()) for name, mask in masks.items()}
        encoder = sum(
            n for name, n in pruned.items() if self.components.prunable[name] == "encoder"
        )
        total = sum(self.totals[component] for component in self.recipe.scope)
        return {
            "scope": sum(pruned.values()) / total if total else 0.0,
            "encoder": encoder / self.totals["encoder"],
        }
