"""How many weights a sparsity means, by the recipe's denominator, threshold and structure.

No torch. Whoever chooses masks takes the share of the scope from here; the audit takes whole
counts, and holds the saved file to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smc_bench.engine.pruning.methods.registry import method_of
from smc_bench.engine.pruning.structures import group_size, kept_of
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


@dataclass(frozen=True)
class Target:
    """So many weights must be zero.

    Attributes:
        what: Of what, for people.
        tensors: Names; the count is over all of them together.
        zeros: How many.
        run: Weights of a row that hold the count by themselves (a row, or M of N:M); None: all
            weights of the tensors together.
        block: Weights of a row that are zero together.
    """

    what: str
    tensors: tuple[str, ...]
    zeros: int
    run: int | None = None
    block: int = 1


def targets(
    recipe: Recipe,
    shapes: Mapping[str, tuple[int, ...]],
    components: Mapping[str, str],
    sparsity: float,
) -> list[Target]:
    """Every count that a recipe fixes at one sparsity of its schedule.

    Args:
        recipe: Scope, denominator, threshold, structure and method.
        shapes: Shape of each prunable tensor in scope.
        components: Component of each of these.
        sparsity: What the schedule says, 0..1.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    totals: dict[str, int] = dict.fromkeys(recipe.scope, 0)
    for name, size in sizes.items():
        totals[components[name]] += size
    what, zeros = target_zeros(recipe, totals, sparsity)
    if what == "encoder":
        encoder = tuple(name for name in sizes if components[name] == "encoder")
        return [Target("the encoder", encoder, zeros)]
    share, block = share_of_scope(recipe, totals, sparsity), group_size(recipe.structure)

    def count(weights: int) -> int:
        return block * pruned_count(weights // block, share)

    pattern = kept_of(recipe.structure)
    if pattern is not None:
        kept, run = pattern
        return [Target(name, (name,), run - kept, run) for name in sizes]
    if recipe.threshold == "global":
        return [Target("the scope", tuple(sizes), count(sum(sizes.values())), block=block)]
    if recipe.threshold == "per_layer":
        return [Target(name, (name,), count(sizes[name]), block=block) for name in sizes]
    rows = {name: shape[-1] for name, shape in shapes.items()}
    if method_of(recipe).exchanges:  # tensors keep their counts, rows do not
        return [Target(n, (n,), count(rows[n]) * (sizes[n] // rows[n])) for n in sizes]
    return [Target(name, (name,), count(rows[name]), rows[name], block) for name in sizes]


@dataclass(frozen=True)
class UnitGroup:
    """Units of one kind in one layer.

    Attributes:
        name: Kind and layer, for people.
        count: How many.
        size: Weights of each.
    """

    name: str
    count: int
    size: int


def unit_zeros(recipe: Recipe, scope: int, groups: Sequence[UnitGroup], sparsity: float) -> int:
    """Weights that a sparsity means where whole units go: at most so many are zero.

    Args:
        recipe: Its ``sparsity_over``.
        scope: Prunable weights in scope.
        groups: All units of the structure.
        sparsity: What the schedule says, 0..1.
    """
    over = recipe.sparsity_over == "structure"
    return pruned_count(_weights(groups) if over else scope, sparsity)


def units_each(groups: Sequence[UnitGroup], zeros: int) -> list[int]:
    """Units of each group that go where all groups lose the same share, to the nearest unit."""
    share = zeros / max(1, _weights(groups))
    return [pruned_count(group.count, share) for group in groups]


def unit_target_problem(
    recipe: Recipe, scope: int, groups: Sequence[UnitGroup], sparsity: float
) -> str | None:
    """Why units can't come to a sparsity, in words; None where they can."""
    zeros, there = unit_zeros(recipe, scope, groups, sparsity), _weights(groups)
    where = f"structure: {recipe.structure}"
    if zeros > there:
        return (
            f"{where} can reach a sparsity of at most {there / scope:.4f} of the encoder (its "
            f"units hold {there} of {scope} prunable weights), not {sparsity:g}: lower it, "
            "remove other units too, or count over the units alone (sparsity_over: structure)"
        )
    if recipe.threshold == "per_layer":
        some = any(units_each(groups, zeros))
    else:
        some = zeros >= min((group.size for group in groups), default=1)
    if sparsity > 0 and not some:
        return f"{where}: a sparsity of {sparsity:g} is less than one unit: nothing would go"
    return None


def _weights(groups: Sequence[UnitGroup]) -> int:
    return sum(group.count * group.size for group in groups)
