"""Sparsity schedules as typed settings; :mod:`sparsity_schedule` makes timelines. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from smc_bench.engine.schedules.durations import Duration, split_duration
from smc_bench.engine.strict import Strict


def _absolute(value: str) -> str:
    if split_duration(value)[1] == "%":
        raise ValueError("the length of training follows from this schedule: give ep or it, not %")
    return value


Absolute = Annotated[Duration, AfterValidator(_absolute)]
"""A duration that the length of training follows from, so not a share of it."""


class RampSchedule(Strict):
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

    kind: Literal["ramp"] = "ramp"
    initial: float = Field(0.0, ge=0.0, lt=1.0)
    shape: Literal["cubic", "linear"] = "cubic"
    start: Duration
    end: Duration
    every: Duration
    end_inclusive: bool = True
    align: Literal["start", "zero"] = "start"


class ScaledSchedule(Strict):
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

    kind: Literal["scaled"] = "scaled"
    initial: float = Field(0.7, ge=0.0, lt=1.0)
    removes: float = Field(0.3, ge=1e-3, lt=1.0)
    start: Absolute
    cycle: Absolute
    paced_from: float | None = Field(None, ge=0.0, lt=1.0)


class OneShotSchedule(Strict):
    """All weights at once, at one point of training.

    Attributes:
        kind: Tag of this schedule.
        at: The point of training.
    """

    kind: Literal["one_shot"] = "one_shot"
    at: Duration = "0it"


class RoundsSchedule(Strict):
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

    kind: Literal["rounds"] = "rounds"
    removes: float = Field(0.2, ge=1e-3, lt=1.0)
    round: Absolute
    weights: Literal["rewound", "kept"] = "rewound"


SparsitySchedule = Annotated[
    RampSchedule | ScaledSchedule | OneShotSchedule | RoundsSchedule, Field(discriminator="kind")
]


class EqualSteps(Strict):
    """Length of training: as many optimizer steps as another recipe takes at the same target.

    ``batch`` and ``length`` are the other's own, written out when a suite is loaded (it says
    ``same_steps_as``), so that a cell holds everything that its length follows from.

    Attributes:
        batch: Rows of one optimizer step of the other recipe.
        length: Its ``train.duration``, or the schedule that sets it.
    """

    batch: int = Field(ge=1)
    length: Duration | ScaledSchedule | RoundsSchedule
