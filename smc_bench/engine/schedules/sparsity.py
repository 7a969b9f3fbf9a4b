"""When masks tighten and to what: the timeline of pruning events, in optimizer steps. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from smc_bench.engine.pruning.structures import pattern_sparsity
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.durations import to_steps
from smc_bench.engine.schedules.no_steps import check_lengths, steps_an_epoch
from smc_bench.engine.schedules.settings import (
    EqualSteps,
    OneShotSchedule,
    RampSchedule,
    RoundsSchedule,
    ScaledSchedule,
)

MAX_EVENTS = 200_000
"""Pruning events of one training; movement pruning takes one a step, 123,000 in all on MNLI."""


@dataclass(frozen=True, slots=True)
class PruningEvent:
    """Before optimizer step ``step`` (counted from 0) the masks tighten to ``sparsity``.

    ``rewind``: afterwards the weights that stay return to what they were before training.
    """

    step: int
    sparsity: float
    rewind: bool = False


@dataclass(frozen=True)
class Timeline:
    """Training of ``total_steps`` optimizer steps with its pruning events, in order.

    ``round_steps``: where training starts over, the steps of one round; else None.
    """

    total_steps: int
    steps_per_epoch: int
    events: tuple[PruningEvent, ...]
    round_steps: int | None = None

    @property
    def final_sparsity(self) -> float:
        """What the last event leaves; the audit holds the saved weights to it."""
        return self.events[-1].sparsity if self.events else 0.0

    def sparsity_at(self, step: int) -> float:
        """Target sparsity while step ``step`` is taken."""
        reached = [event.sparsity for event in self.events if event.step <= step]
        return reached[-1] if reached else 0.0


def scaled_levels(
    target: float, initial: float, removes: float, paced_from: float | None = None
) -> tuple[float, ...]:
    """Sparsity after each event when an event removes at most ``removes`` of what is left.

    The first event goes to ``initial`` (or at once to a target below it); k more follow, with
    k the least number for which equal shares stay within ``removes``, counted from ``paced_from``
    where that is given: s_i = 1 - (1 - s0) ((1 - sf)/(1 - s0))^(i/k). Three events for 0.8, five
    for 0.9 and eight for 0.97 with s0 = 0.7 and removes = 0.3. The formula is this project's, not
    the paper's.
    """
    count = _events_after_first(target, initial if paced_from is None else paced_from, removes)
    if count == 0:
        return (target,)
    _check_events(count, "removes")
    start = min(initial, target)
    ratio = (1.0 - target) / (1.0 - start)
    levels = [1.0 - (1.0 - start) * ratio ** (i / count) for i in range(count)]
    return (*levels, target)


def _events_after_first(target: float, start: float, removes: float) -> int:
    if target <= start:
        return 0
    ratio = (1.0 - target) / (1.0 - start)
    # The tolerance keeps exact powers such as 0.7 * 0.7 from needing one event more by rounding.
    return max(1, math.ceil(math.log(ratio) / math.log(1.0 - removes) - 1e-9))


def rounds_to(target: float, removes: float) -> int:
    """Least number of rounds that come to a target when each removes ``removes`` of what is left.

    Targets are published rounded, not always to the nearest: SMC-Bench's .738, .791, .8325, .866
    and .893 lie above the levels 1 - 0.8^k that they stand for, by up to 0.016 of a round. So the
    last round may remove a little more: what a fiftieth of another round would, 20.4 % for 20 %.

    Args:
        target: Sparsity to come to, 0..1.
        removes: Share of the remaining weights, between 0 and 1.
    """
    return max(1, math.ceil(math.log(1.0 - target) / math.log(1.0 - removes) - _FIFTIETH))


_FIFTIETH = 0.02


def _check_events(count: int, larger: str) -> None:
    if count > MAX_EVENTS:
        raise ValueError(
            f"{count:,} pruning events, more than {MAX_EVENTS:,}: {larger} must be larger"
        )


def ramp_level(schedule: RampSchedule, target: float, x: float) -> float:
    """Sparsity at progress ``x`` in 0..1 of a ramp (arXiv 1710.01878, eq. 1, for cubic)."""
    exponent = 3 if schedule.shape == "cubic" else 1
    # max(): a target below the initial step is reached at once and kept.
    initial = min(schedule.initial, target)
    return target + (initial - target) * (1.0 - x) ** exponent


def _ramp(
    schedule: RampSchedule, target: float, steps_per_epoch: int, total: int
) -> tuple[PruningEvent, ...]:
    start = to_steps(schedule.start, steps_per_epoch, total)
    end = to_steps(schedule.end, steps_per_epoch, total)
    every = to_steps(schedule.every, steps_per_epoch, total)
    if not 0 <= start <= end <= total or every < 1:
        raise ValueError(
            f"a ramp from step {start} to {end} every {every} does not fit a training of {total} "
            "steps: sparsity_schedule needs start <= end <= train.duration and every >= 1 step"
        )
    first = start if schedule.align == "start" else math.ceil(start / every) * every
    _check_events((end - first) // every, "every")
    steps = list(range(first, end, every)) or [start]
    if schedule.end_inclusive and steps[-1] != end:
        # Rounding to whole steps may set the last regular event just before the end: it is one.
        if len(steps) > 1 and end - steps[-1] < min(every / 2, len(steps)):
            steps.pop()
        steps.append(end)
    span = max(1, end - start)
    levels = [ramp_level(schedule, target, (step - start) / span) for step in steps]
    events = [PruningEvent(s, v) for s, v in zip(steps, levels, strict=True) if v > 0.0]
    return tuple(events)


def _scaled(schedule: ScaledSchedule, target: float, steps_per_epoch: int) -> Timeline:
    start = to_steps(schedule.start, steps_per_epoch)
    cycle = to_steps(schedule.cycle, steps_per_epoch)
    levels = scaled_levels(target, schedule.initial, schedule.removes, schedule.paced_from)
    events = tuple(PruningEvent(start + i * cycle, level) for i, level in enumerate(levels))
    return Timeline(start + len(levels) * cycle, steps_per_epoch, events)


def _rounds(schedule: RoundsSchedule, target: float, steps_per_epoch: int) -> Timeline:
    length = to_steps(schedule.round, steps_per_epoch)
    count = rounds_to(target, schedule.removes)
    _check_events(count, "removes")
    levels = [1.0 - (1.0 - schedule.removes) ** i for i in range(1, count)] + [target]
    back = schedule.weights == "rewound"
    events = tuple(PruningEvent(i * length, level, back) for i, level in enumerate(levels, 1))
    return Timeline((count + 1) * length, steps_per_epoch, events, length)


def _total(length: EqualSteps, target: float, train_rows: int) -> int:
    per_epoch = steps_an_epoch(train_rows, length.batch)
    if isinstance(length.length, ScaledSchedule):
        return _scaled(length.length, target, per_epoch).total_steps
    if isinstance(length.length, RoundsSchedule):
        return _rounds(length.length, target, per_epoch).total_steps
    return to_steps(length.length, per_epoch)


def build_timeline(recipe: Recipe, target: float, train_rows: int) -> Timeline:
    """The timeline of a recipe at one target.

    Args:
        recipe: A resolved recipe.
        target: Final sparsity in 0..1; ignored where the recipe does not prune.
        train_rows: Training sequences (features) of one epoch; the last short batch counts.

    Raises:
        ValueError: If the schedule does not fit the length of training, or a length is no step.
    """
    check_lengths(recipe, train_rows)
    total = _total(recipe.length, target, train_rows)
    if total:
        check_lengths(recipe, train_rows, total)
    steps_per_epoch = steps_an_epoch(train_rows, recipe.train.batch)
    schedule = recipe.sparsity_schedule
    pattern = pattern_sparsity(recipe.structure)
    if schedule is not None and pattern is not None and abs(pattern - target) > 1e-9:
        raise ValueError(
            f"structure: {recipe.structure} leaves a sparsity of {pattern:g}, not {target:g}"
        )
    if isinstance(schedule, ScaledSchedule):
        return _scaled(schedule, target, steps_per_epoch)
    if isinstance(schedule, RoundsSchedule):
        return _rounds(schedule, target, steps_per_epoch)
    if schedule is None:
        return Timeline(total, steps_per_epoch, ())
    if isinstance(schedule, OneShotSchedule):
        at = to_steps(schedule.at, steps_per_epoch, total)
        if at > total:
            raise ValueError(f"one-shot pruning at step {at} comes after the last step {total}")
        return Timeline(total, steps_per_epoch, (PruningEvent(at, target),))
    return Timeline(total, steps_per_epoch, _ramp(schedule, target, steps_per_epoch, total))
