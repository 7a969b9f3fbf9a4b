"""What training up to the first pruning event follows from: cells with it in common may share it.

Until masks come into being, a scope, a scorer, a target and the later schedule change nothing. No
torch, so that a planner can tell which cells share a prefix.
"""

from __future__ import annotations

from typing import Any

from smc_bench.engine.pruning.methods.registry import method_of
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.learning_rate import one_round
from smc_bench.engine.schedules.timeline import Timeline
from smc_bench.engine.versions import own_code

PREFIX = "prefix"
"""The kind of artefact that a shared prefix is."""


def prefix_steps(recipe: Recipe, timeline: Timeline, limit: int | None = None) -> int:
    """Optimizer steps before the first pruning event; 0 where they are not to be shared.

    Args:
        recipe: A resolved recipe.
        timeline: Its timeline.
        limit: Steps after which training is cut short.
    """
    if not timeline.events or not method_of(recipe).shares_prefix:
        return 0
    first = timeline.events[0].step
    return first if first < min(timeline.total_steps, limit or timeline.total_steps) else 0


def prefix_content(recipe: Recipe, timeline: Timeline) -> dict[str, Any]:
    """All settings that the steps before the first event follow from, as JSON.

    Rows, weights, seed and teacher are the caller's to add.
    """
    train = recipe.train.model_dump(mode="json")
    del train["duration"], train["clip_over"]  # before masks there is one norm only
    distillation = recipe.distillation
    plugins = own_code(recipe)
    return {
        **({"plugins": plugins} if plugins else {}),
        "steps": timeline.events[0].step,
        "steps_per_epoch": timeline.steps_per_epoch,
        "train": train,
        "distillation": None if distillation is None else distillation.model_dump(mode="json"),
        # The batch in which the teacher was asked, which can move its last bits.
        "evaluation_batch": None if distillation is None else recipe.evaluation.batch,
        "rates": recipe.lr_schedule.prefix(one_round(timeline), timeline.events[0].step),
    }
