"""Learning rate at each optimizer step, as a pure function of the timeline. No torch."""

from __future__ import annotations

import math
from dataclasses import replace

from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.timeline import Timeline
from smc_bench.errors import SmcBenchError, SuiteError


def learning_rate(recipe: Recipe, timeline: Timeline, step: int) -> float:
    """Learning rate of optimizer step ``step`` (from 0).

    Warm-up rises linearly: the first of w warm-up steps takes 1/w of the peak (as in fairseq, so
    that no step is taken at rate 0). Where training goes in rounds, each is a training of its own.

    Raises:
        SuiteError: If a schedule of a plug-in fails, or gives no rate.
    """
    if timeline.round_steps is not None:
        step %= timeline.round_steps
    schedule = recipe.lr_schedule
    try:
        rate = float(schedule.of_step(step, one_round(timeline)))
    except SmcBenchError:
        raise
    except Exception as error:
        failed = f"{type(error).__name__}: {error}"
        raise SuiteError(
            f"lr_schedule {schedule.kind!r} failed at step {step}: {failed}"
        ) from error
    if not (math.isfinite(rate) and rate >= 0.0):
        raise SuiteError(f"lr_schedule {schedule.kind!r} gives a rate of {rate} at step {step}")
    return rate


def one_round(timeline: Timeline) -> Timeline:
    """The training that learning rates span: one round, without events, or the whole."""
    if timeline.round_steps is None:
        return timeline
    return replace(timeline, total_steps=timeline.round_steps, events=(), round_steps=None)
