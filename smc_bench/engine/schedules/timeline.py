"""Pruning events and the length of training, in optimizer steps. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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


def check_count(events: int, larger: str) -> None:
    """Refuse more events than :data:`MAX_EVENTS`; ``larger`` is the setting to change.

    Raises:
        ValueError: There are more.
    """
    if events > MAX_EVENTS:
        raise ValueError(
            f"{events:,} pruning events, more than {MAX_EVENTS:,}: {larger} must be larger"
        )


def check_timeline(timeline: Timeline) -> None:
    """Refuse a timeline that no training could follow.

    Raises:
        ValueError: Says which event is wrong.
    """
    if timeline.total_steps < 0 or timeline.steps_per_epoch < 1:
        raise ValueError(f"{timeline.total_steps} steps of training are not possible")
    check_count(len(timeline.events), "the time between two of them")
    for event in timeline.events:
        if not 0 <= event.step <= timeline.total_steps:
            raise ValueError(
                f"a pruning event at step {event.step} is outside a training of "
                f"{timeline.total_steps} steps"
            )
        if not 0.0 <= event.sparsity < 1.0:  # also what is not a number
            raise ValueError(f"a sparsity of {event.sparsity} at step {event.step} is not in 0..1")
    for one, two in pairwise(timeline.events):
        if two.step <= one.step or two.sparsity < one.sparsity:
            raise ValueError(
                f"pruning events must rise in step and not fall in sparsity: {one.sparsity:g} at "
                f"step {one.step} is followed by {two.sparsity:g} at step {two.step}"
            )
