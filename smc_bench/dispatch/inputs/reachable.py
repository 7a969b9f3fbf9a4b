"""Can the units of a recipe's structure come to the sparsities of a suite, in its model?

Heads alone are a third of BERT's blocks: no more than that can be removed with them. Shapes are
enough to say so; the weights are not read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_bench.engine.pruning.latency import unreachable
from smc_bench.engine.pruning.structures import unit_kinds
from smc_bench.engine.pruning.targets import unit_target_problem
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.errors import ModelError
from smc_bench.suite.expand import suite_axis, with_latencies
from smc_bench.suite.load import LoadedSuite
from smc_bench.suite.naming import DENSE_ARM
from smc_bench.suite.pins import Pins
from smc_bench.tasks.specs import SPECS


def check_units(loaded: LoadedSuite, folder: Path | None, pins: Pins) -> None:
    """Fail at an arm that removes units and asks for a sparsity or speed that they can't come to.

    Args:
        loaded: The suite.
        folder: Its model's; None where it is not on this machine. Then only models whose shapes
            are known by name are looked at.
        pins: Has the tables of latencies that were measured; a speed without one is passed over.

    Raises:
        SuiteError: Naming the arm and the largest sparsity (or speed) that can be reached.
        ModelError: The units of the model's architecture are not known.
    """
    asked = [*_asked(loaded, pins), *_shallow(loaded)]
    shape = _Shape.of(loaded.suite.model, folder) if asked else None
    if shape is None:
        return
    for arm, recipe, sparsity in asked:
        problem = shape.problem(recipe, sparsity)
        if problem is not None:
            place = loaded.place("arms")
            at = (*place, arm) if (*place, arm) in loaded.file.lines else place
            loaded.file.fail(at, f"arm {arm!r}: {problem}")


def _shallow(loaded: LoadedSuite) -> Iterator[tuple[str, Recipe, float]]:
    """Arms that keep some of the model's blocks and remove no units."""
    for recipes in loaded.recipes.values():
        for arm, recipe in {DENSE_ARM: recipes.dense, **recipes.arms}.items():
            removes = unit_kinds(recipe.structure) and recipe.sparsity_schedule is not None
            if recipe.train.keep_layers is not None and not removes:
                yield arm, recipe, 0.0


def _asked(loaded: LoadedSuite, pins: Pins) -> Iterator[tuple[str, Recipe, float]]:
    """Arms that remove units, with the last sparsity of each schedule."""
    suite = loaded.suite
    counted_over_encoder = bool(suite.compare_at) and "scope_sparsity" not in suite.compare_at
    for task, recipes in loaded.recipes.items():
        for arm, recipe in recipes.arms.items():
            if not unit_kinds(recipe.structure) or recipe.sparsity_schedule is None:
                continue
            recipe = with_latencies(loaded, recipe, pins)
            if recipe.target is not None and not recipe.target.known:
                continue
            if counted_over_encoder:
                recipe = recipe.model_copy(update={"sparsity_over": "encoder"})
            rows = min(SPECS[task].train_rows, recipe.train.rows or 2**60)
            for sparsity in suite_axis(recipe, suite.sparsity):
                yield arm, recipe, build_timeline(recipe, sparsity, rows).final_sparsity


@dataclass
class _Shape:
    """A model without weights."""

    model: Any

    @classmethod
    def of(cls, name: str, folder: Path | None) -> _Shape | None:
        from smc_bench.models.cost import CONFIGS, build

        if folder is None and name not in CONFIGS:
            return None
        graph: Any = build(name if folder is None else str(folder), "classification", 2)
        return cls(graph)

    def problem(self, recipe: Recipe, sparsity: float) -> str | None:
        """Why a recipe can't be carried out on these shapes, in words; None where it can."""
        from smc_bench.engine.pruning.model_units import units_of
        from smc_bench.engine.pruning.speed import check_table
        from smc_bench.models.components import component_map
        from smc_bench.models.depth import keep_layers

        model = self.model
        if recipe.train.keep_layers is not None:
            model = copy.deepcopy(model)
            try:
                keep_layers(model, recipe.train.keep_layers)
            except ModelError as error:
                return str(error)
        found = units_of(model, recipe)
        if found is None:
            return None
        if recipe.target is not None:
            check_table(recipe.target.measured, found)
            return unreachable(recipe.target, recipe.structure)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        prunable = sum(sizes[name] for name in component_map(model).in_scope(["encoder"]))
        return unit_target_problem(recipe, prunable, found.groups, sparsity)
