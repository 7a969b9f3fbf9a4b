"""Learning rate at each optimizer step, as a pure function of the timeline. No torch."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from smc_bench.engine.recipe import ConstantLR, LinearLR, Recipe, RewindLR
from smc_bench.engine.schedules.durations import to_steps
from smc_bench.engine.schedules.sparsity import Timeline


def _decay(peak: float, floor: float, k: int, length: int) -> float:
    """Linear from ``peak`` (k = 0) to ``floor`` (k = length - 1)."""
    return peak if length <= 1 else peak - k / (length - 1) * (peak - floor)


def cycle_starts(schedule: RewindLR, timeline: Timeline) -> list[int]:
    """Steps at which the learning rate goes back to its peak; always starts with 0."""
    events = [event.step for event in timeline.events]
    epoch, total = timeline.steps_per_epoch, timeline.total_steps
    if schedule.at is not None:
        starts = [to_steps(at, epoch, total) for at in schedule.at]
    elif schedule.period is None or not events:
        starts = events
    else:
        period = to_steps(schedule.period, epoch, total)
        starts = list(range(events[0], total, period))
    return sorted({0, *(step for step in starts if step < timeline.total_steps)})


def _rewind(schedule: RewindLR, timeline: Timeline, step: int) -> float:
    starts = cycle_starts(schedule, timeline)
    index = bisect_right(starts, step) - 1
    end = starts[index + 1] if index + 1 < len(starts) else timeline.total_steps
    return _decay(schedule.peak, schedule.floor, step - starts[index], end - starts[index])


def learning_rate(recipe: Recipe, timeline: Timeline, step: int) -> float:
    """Learning rate of optimizer step ``step`` (from 0).

    Warm-up rises linearly: the first of w warm-up steps takes 1/w of the peak (as in fairseq, so
    that no step is taken at rate 0). Linear decay is that of transformers: at step s of n it is
    floor + (peak - floor)(n - s)/(n - w). Where training goes in rounds, each is a training of its
    own.
    """
    if timeline.round_steps is not None:
        step %= timeline.round_steps
        timeline = replace(timeline, total_steps=timeline.round_steps, events=(), round_steps=None)
    schedule = recipe.lr_schedule
    warmup = to_steps(schedule.warmup, timeline.steps_per_epoch, timeline.total_steps)
    if step < warmup:
        return schedule.peak * (step + 1) / warmup
    if isinstance(schedule, ConstantLR):
        return schedule.peak
    if isinstance(schedule, LinearLR):
        left = (timeline.total_steps - step) / max(1, timeline.total_steps - warmup)
        return schedule.floor + (schedule.peak - schedule.floor) * max(0.0, left)
    return _rewind(schedule, timeline, step)
