"""Versions of the code that a recipe names beside its scorer: part of a cell's identity. No torch.

Version 1 is not written out: a name stands for it, and identities from before there were versions
stay what they were.
"""

from __future__ import annotations

from smc_bench.engine.pruning.methods.registry import method_of
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.kinds import RATES, SPARSITY
from smc_bench.engine.schedules.settings import EqualSteps


def later_versions(recipe: Recipe) -> dict[str, int]:
    """Versions above 1, by the key of the recipe that names the code."""
    versions = {"method": method_of(recipe).version}
    versions["lr_schedule"] = RATES.specs[recipe.lr_schedule.kind].version
    if recipe.sparsity_schedule is not None:
        versions["sparsity_schedule"] = SPARSITY.specs[recipe.sparsity_schedule.kind].version
    duration = recipe.train.duration
    if isinstance(duration, EqualSteps) and not isinstance(duration.length, str):
        versions["train.duration"] = SPARSITY.specs[duration.length.kind].version
    return {key: version for key, version in versions.items() if version > 1}


def own_code(recipe: Recipe) -> list[str]:
    """Modules outside this project that act before the first pruning event, sorted."""
    modules = {method_of(recipe).function.partition(":")[0], type(recipe.lr_schedule).__module__}
    return sorted(name for name in modules if name.partition(".")[0] != "smc_bench")
