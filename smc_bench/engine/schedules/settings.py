"""Sparsity schedules: typed settings that make their timeline of pruning events. No torch."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from smc_bench.engine.schedules.durations import Duration, split_duration, to_steps
from smc_bench.engine.schedules.kinds import AnySparsitySchedule, SparsitySchedule, schedule
from smc_bench.engine.schedules.levels import ramp_level, rounds_to, scaled_levels
from smc_bench.engine.schedules.timeline import PruningEvent, Timeline, check_count
from smc_bench.engine.strict import Strict


def _absolute(value: str) -> str:
    if split_duration(value)[1] == "%":
        raise ValueError("the length of training follows from this schedule: give ep or it, not %")
    return value


Absolute = Annotated[Duration, AfterValidator(_absolute)]
"""A duration that the length of training follows from, so not a share of it."""


@schedule(name="ramp", version=1, source="arXiv 1710.01878, eq. 1; sparseml")
class RampSchedule(SparsitySchedule):
    """Gradual pruning over a fixed window: an event each ``every`` steps from ``start`` to ``end``.

    ``shape`` cubic is s = sf + (s0 - sf)(1 - x)^3 (arXiv 1710.01878, eq. 1), linear the same with
    exponent 1; x runs from 0 at ``start`` to 1 at ``end``. ``end_inclusive: false`` drops an event
    that would fall on ``end`` itself, as SMC-Bench's condition ``step < final`` does, so the last
    event ends a little below the target and the audit expects just that. ``align: zero`` counts
    events from step 0 (multiples of ``every`` inside the window, SMC-Bench), ``start`` from the
    window's start (sparseml).

    Attributes:
        kind: Tag of this schedule.
        initial: Sparsity at ``start``, s0, 0..1.
        shape: Curve of the sparsity between ``start`` and ``end``.
        start: First event.
        end: End of the window; the target is reached there.
        every: Length between two events.
        end_inclusive: Whether an event may fall on ``end`` itself.
        align: Where the events are counted from: step 0, or ``start``.
    """

    must_step: ClassVar[tuple[str, ...]] = ("every",)
    kind: Literal["ramp"] = "ramp"
    initial: float = Field(0.0, ge=0.0, lt=1.0)
    shape: Literal["cubic", "linear"] = "cubic"
    start: Duration
    end: Duration
    every: Duration
    end_inclusive: bool = True
    align: Literal["start", "zero"] = "start"

    @property
    def ends_on_target(self) -> bool:
        """Not where SMC-Bench's condition drops the last event."""
        return self.end_inclusive

    def timeline(self, target: float, steps_per_epoch: int, total: int) -> Timeline:
        """Events of the window; those that would prune nothing are left out."""
        start = to_steps(self.start, steps_per_epoch, total)
        end = to_steps(self.end, steps_per_epoch, total)
        every = to_steps(self.every, steps_per_epoch, total)
        if not 0 <= start <= end <= total or every < 1:
            raise ValueError(
                f"a ramp from step {start} to {end} every {every} does not fit a training of "
                f"{total} steps: sparsity_schedule needs start <= end <= train.duration and "
                "every >= 1 step"
            )
        steps = self._steps(start, end, every)
        exponent, span = 3 if self.shape == "cubic" else 1, max(1, end - start)
        levels = [ramp_level(self.initial, target, exponent, (s - start) / span) for s in steps]
        events = [PruningEvent(s, v) for s, v in zip(steps, levels, strict=True) if v > 0.0]
        return Timeline(total, steps_per_epoch, tuple(events))

    def _steps(self, start: int, end: int, every: int) -> list[int]:
        first = start if self.align == "start" else math.ceil(start / every) * every
        check_count((end - first) // every, "every")
        steps = list(range(first, end, every)) or [start]
        if self.end_inclusive and steps[-1] != end:
            # Rounding to whole steps may set the last regular event just before the end: it is one.
            if len(steps) > 1 and end - steps[-1] < min(every / 2, len(steps)):
                steps.pop()
            steps.append(end)
        return steps


@schedule(name="scaled", version=1, source="this project; the principle: arXiv 2312.13547, 3.3")
class ScaledSchedule(SparsitySchedule):
    """Length scaled to the target: one large first step, then as many events as the target needs.

    The paper gives no formula (arXiv 2312.13547 section 3.3 states the principle); this one is
    this project's: from ``initial`` on, each event removes at most the share ``removes`` of the
    weights that are left, all events the same share; each is followed by one ``cycle`` of training,
    so the length of training follows from the target. ``paced_from``: take as many events as from
    that first level, so that other values of ``initial`` are compared at equal length.

    Attributes:
        kind: Tag of this schedule.
        initial: Sparsity after the first event, 0..1. 0.7 in arXiv 2312.13547.
        removes: Largest share of the remaining weights that one event removes, 0..1. This
            project's choice.
        start: Dense training before the first event.
        cycle: Training after each event.
        paced_from: First level from which the number of events is counted, 0..1; null takes
            ``initial``.
    """

    must_step: ClassVar[tuple[str, ...]] = ("cycle",)
    sets_length: ClassVar[bool] = True
    kind: Literal["scaled"] = "scaled"
    initial: float = Field(0.7, ge=0.0, lt=1.0)
    removes: float = Field(0.3, ge=1e-3, lt=1.0)
    start: Absolute
    cycle: Absolute
    paced_from: float | None = Field(None, ge=0.0, lt=1.0)

    def timeline(self, target: float, steps_per_epoch: int, total: int) -> Timeline:
        """One event a cycle, as many as the target needs; ``total`` follows from them."""
        start = to_steps(self.start, steps_per_epoch)
        cycle = to_steps(self.cycle, steps_per_epoch)
        levels = scaled_levels(target, self.initial, self.removes, self.paced_from)
        events = tuple(PruningEvent(start + i * cycle, level) for i, level in enumerate(levels))
        return Timeline(start + len(levels) * cycle, steps_per_epoch, events)


@schedule(name="one_shot", version=1, source="all at once")
class OneShotSchedule(SparsitySchedule):
    """All weights at once, at one point of training.

    Attributes:
        kind: Tag of this schedule.
        at: The point of training.
    """

    one_event: ClassVar[bool] = True
    kind: Literal["one_shot"] = "one_shot"
    at: Duration = "0it"

    def timeline(self, target: float, steps_per_epoch: int, total: int) -> Timeline:
        """One event."""
        at = to_steps(self.at, steps_per_epoch, total)
        if at > total:
            raise ValueError(f"one-shot pruning at step {at} comes after the last step {total}")
        return Timeline(total, steps_per_epoch, (PruningEvent(at, target),))


@schedule(name="rounds", version=1, source="arXiv 1803.03635, 2003.02389")
class RoundsSchedule(SparsitySchedule):
    """Iterative pruning: train a round, prune, go back to the start, again (arXiv 1803.03635).

    Each pruning removes the share ``removes`` of the weights that are left (the last one less, or a
    trace more where the target is a level that was rounded, so that it ends on the target); then
    all weights but the pruned ones return to what they were before training, the optimizer starts
    anew, and so does the learning rate, whose schedule spans one round. SMC-Bench: 20 % a round,
    back to the pretrained weights (its section 4).
    ``weights: kept`` starts the learning rate anew alone and trains on from the weights (and the
    optimizer's moments) as they are: learning-rate rewinding (arXiv 2003.02389).

    Attributes:
        kind: Tag of this schedule.
        removes: Share of the remaining weights that a round removes, 0..1. 0.2 in SMC-Bench.
        round: Length of a round.
        weights: ``rewound`` returns the remaining weights to step 0, ``kept`` trains on from them.
    """

    must_step: ClassVar[tuple[str, ...]] = ("round",)
    sets_length: ClassVar[bool] = True
    method: ClassVar[str | None] = "lottery"
    kind: Literal["rounds"] = "rounds"
    removes: float = Field(0.2, ge=1e-3, lt=1.0)
    round: Absolute
    weights: Literal["rewound", "kept"] = "rewound"

    def timeline(self, target: float, steps_per_epoch: int, total: int) -> Timeline:
        """An event after each round but the last; ``total`` follows from the rounds."""
        length = to_steps(self.round, steps_per_epoch)
        count = rounds_to(target, self.removes)
        check_count(count, "removes")
        levels = [1.0 - (1.0 - self.removes) ** i for i in range(1, count)] + [target]
        back = self.weights == "rewound"
        events = tuple(PruningEvent(i * length, level, back) for i, level in enumerate(levels, 1))
        return Timeline((count + 1) * length, steps_per_epoch, events, length)


def _sets_length(value: SparsitySchedule) -> SparsitySchedule:
    if not value.sets_length:
        raise ValueError(f"{value.kind} does not set the length of training")
    return value


LengthSchedule = Annotated[AnySparsitySchedule, AfterValidator(_sets_length)]
"""A schedule that the length of training follows from."""


class EqualSteps(Strict):
    """Length of training: as many optimizer steps as another recipe takes at the same target.

    ``batch`` and ``length`` are the other's own, written out when a suite is loaded (it says
    ``same_steps_as``), so that a cell holds everything that its length follows from.

    Attributes:
        batch: Rows of one optimizer step of the other recipe.
        length: Its ``train.duration``, or the schedule that sets it.
    """

    batch: int = Field(ge=1)
    length: Duration | LengthSchedule
