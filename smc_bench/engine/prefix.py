"""What training up to the first pruning event follows from: cells with it in common may share it.

Until masks come into being, a scope, a scorer, a target and the later schedule change nothing. No
torch, so that a planner can tell which cells begin alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smc_bench.engine.pruning.methods.registry import method_of
from smc_bench.engine.recipe import ConstantLR, LinearLR, Recipe
from smc_bench.engine.schedules.durations import to_steps
from smc_bench.engine.schedules.learning_rate import cycle_starts
from smc_bench.engine.schedules.sparsity import Timeline

PREFIX = "prefix"
"""The kind of artefact that such a beginning is."""


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
    return {
        "steps": timeline.events[0].step,
        "steps_per_epoch": timeline.steps_per_epoch,
        "train": train,
        "distillation": None if distillation is None else distillation.model_dump(mode="json"),
        # The batch in which the teacher was asked, which can move its last bits.
        "evaluation_batch": None if distillation is None else recipe.evaluation.batch,
        "rates": _rates(recipe, timeline),
    }


def _rates(recipe: Recipe, timeline: Timeline) -> dict[str, Any]:
    """What the learning rates of these steps follow from; see :mod:`lr_schedule`."""
    if timeline.round_steps is not None:
        timeline = replace(timeline, total_steps=timeline.round_steps, events=(), round_steps=None)
    schedule, total = recipe.lr_schedule, timeline.total_steps
    found = {
        "kind": schedule.kind,
        "peak": schedule.peak,
        "warmup": to_steps(schedule.warmup, timeline.steps_per_epoch, total),
    }
    if isinstance(schedule, ConstantLR):
        return found
    if isinstance(schedule, LinearLR):
        return found | {"floor": schedule.floor, "until": total}
    later = [start for start in cycle_starts(schedule, timeline) if start > 0]
    return found | {"floor": schedule.floor, "until": min(later, default=total)}
