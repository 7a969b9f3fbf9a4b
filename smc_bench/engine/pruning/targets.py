"""How many weights a sparsity means, by the recipe's denominator. No torch.

Both sides read it: whoever chooses masks, and the audit, which counts zeros in the saved file.
"""

from __future__ import annotations

from collections.abc import Mapping

from smc_bench.engine.recipe import Recipe


def pruned_count(total: int, sparsity: float) -> int:
    """Weights to prune of ``total``: nearest whole number, halves up."""
    return int(total * sparsity + 0.5)


def target_zeros(recipe: Recipe, totals: Mapping[str, int], sparsity: float) -> tuple[str, int]:
    """Which count a sparsity fixes, and its value: ("scope" | "encoder", zeros).

    Args:
        recipe: Its scope and ``sparsity_over``.
        totals: Prunable weights of each component.
        sparsity: What the schedule says, 0..1.
    """
    scope = sum(totals[component] for component in recipe.scope)
    if recipe.sparsity_over == "encoder":
        return "encoder", pruned_count(totals["encoder"], sparsity)
    if recipe.sparsity_over == "encoder_zeros":
        return "scope", pruned_count(totals["encoder"], sparsity)
    return "scope", pruned_count(scope, sparsity)


def share_of_scope(recipe: Recipe, totals: Mapping[str, int], sparsity: float) -> float:
    """The share of the scope's weights that a sparsity means, where it fixes that."""
    scope = sum(totals[component] for component in recipe.scope)
    return target_zeros(recipe, totals, sparsity)[1] / scope
