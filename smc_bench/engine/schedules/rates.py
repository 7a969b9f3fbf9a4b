"""Learning-rate schedules: typed settings that say the rate of each step. No torch."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from smc_bench.engine.schedules.durations import Duration, to_steps
from smc_bench.engine.schedules.kinds import RateSchedule, schedule
from smc_bench.engine.schedules.timeline import Timeline


@schedule(name="linear", version=1, source="transformers: get_linear_schedule_with_warmup")
class LinearLR(RateSchedule):
    """Linear warm-up from 0 to ``peak``, then linear decay to ``floor`` at the end of training.

    At step s of n with w of warm-up: floor + (peak - floor)(n - s)/(n - w).

    Attributes:
        kind: Tag of this schedule.
        peak: Highest learning rate, reached at the end of the warm-up.
        floor: Learning rate at the last step.
        warmup: Length of the linear warm-up.
    """

    kind: Literal["linear"] = "linear"
    peak: float = Field(gt=0.0)
    floor: float = Field(0.0, ge=0.0)
    warmup: Duration = "0it"

    def rate(self, step: int, timeline: Timeline) -> float:
        """The rate of a step after the warm-up."""
        warmup = self.warmup_steps(timeline)
        left = (timeline.total_steps - step) / max(1, timeline.total_steps - warmup)
        return self.floor + (self.peak - self.floor) * max(0.0, left)

    def prefix(self, timeline: Timeline, steps: int) -> dict[str, Any]:
        """Peak, floor, warm-up and where the decay ends."""
        warmup = self.warmup_steps(timeline)
        shape = {"peak": self.peak, "floor": self.floor, "warmup": warmup}
        return {"kind": self.kind, **shape, "until": timeline.total_steps}


@schedule(name="rewind", version=1, source="sparseml; arXiv 2203.07259's recipes")
class RewindLR(RateSchedule):
    """Cyclic linear decay from ``peak`` to ``floor`` that starts again at pruning events.

    Inside a cycle of c steps: lr = peak - k/(c-1) (peak - floor) (sparseml sparsification code,
    restated). Cycles start at step 0 and at each pruning event, or, where ``period`` is given, at
    the first event and every ``period`` after it (the authors' oBERT recipes: 4 epochs), or, where
    ``at`` is given, just there (their recipe of 10 epochs: once, at epoch 8).

    Attributes:
        kind: Tag of this schedule.
        peak: Learning rate at the start of each cycle.
        floor: Learning rate at the end of each cycle.
        warmup: Length of the linear warm-up before the first cycle.
        period: Length of a cycle; left out, a cycle ends at each pruning event.
        at: Points of training at which the rate goes back to its peak, instead of ``period``.
    """

    must_step: ClassVar[tuple[str, ...]] = ("period",)
    kind: Literal["rewind"] = "rewind"
    peak: float = Field(gt=0.0)
    floor: float = Field(0.0, ge=0.0)
    warmup: Duration = "0it"
    period: Duration | None = None
    at: tuple[Duration, ...] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_rule(self) -> RewindLR:
        if self.period is not None and self.at is not None:
            raise ValueError("period and at both say when the rate goes back: give one of them")
        return self

    def rate(self, step: int, timeline: Timeline) -> float:
        """The rate of a step after the warm-up."""
        starts = cycle_starts(self, timeline)
        index = bisect_right(starts, step) - 1
        end = starts[index + 1] if index + 1 < len(starts) else timeline.total_steps
        return _decay(self.peak, self.floor, step - starts[index], end - starts[index])

    def prefix(self, timeline: Timeline, steps: int) -> dict[str, Any]:
        """Peak, floor, warm-up and where the first cycle ends."""
        later = [start for start in cycle_starts(self, timeline) if start > 0]
        warmup, until = self.warmup_steps(timeline), min(later, default=timeline.total_steps)
        shape = {"peak": self.peak, "floor": self.floor, "warmup": warmup}
        return {"kind": self.kind, **shape, "until": until}


@schedule(name="constant", version=1, source="no change after the warm-up")
class ConstantLR(RateSchedule):
    """Linear warm-up to ``peak``, then no change.

    Attributes:
        kind: Tag of this schedule.
        peak: Learning rate after the warm-up.
        warmup: Length of the linear warm-up.
    """

    kind: Literal["constant"] = "constant"
    peak: float = Field(gt=0.0)
    warmup: Duration = "0it"

    def rate(self, step: int, timeline: Timeline) -> float:
        """The peak."""
        return self.peak

    def prefix(self, timeline: Timeline, steps: int) -> dict[str, Any]:
        """Peak and warm-up."""
        return {"kind": self.kind, "peak": self.peak, "warmup": self.warmup_steps(timeline)}


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


def _decay(peak: float, floor: float, k: int, length: int) -> float:
    """Linear from ``peak`` (k = 0) to ``floor`` (k = length - 1)."""
    return peak if length <= 1 else peak - k / (length - 1) * (peak - floor)
