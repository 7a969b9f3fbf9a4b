"""Pruning events and the length of training, in optimizer steps. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

_ROUNDING = 1e-9

MAX_EVENTS = 200_000
"""Pruning events of one training; movement pruning takes one a step, 123,000 in all on MNLI."""


@dataclass(frozen=True, slots=True)
class PruningEvent:
    """Before optimizer step ``step`` (counted from 0) the masks grow to ``sparsity``.

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


def check_final(timeline: Timeline, target: float, *, reached: bool) -> None:
    """Refuse a timeline that leaves another sparsity than the one its cell is reported at.

    Args:
        timeline: All events.
        target: The sparsity that was asked for.
        reached: Whether the last event must come to it; else it may stay below, but must prune.

    Raises:
        ValueError: The last event goes elsewhere, or there is none.
    """
    final = timeline.final_sparsity
    beyond = final > target + _ROUNDING
    if beyond or (target > 0.0 and final <= 0.0) or (reached and final < target - _ROUNDING):
        raise ValueError(f"it ends at a sparsity of {final:g}, but {target:g} was asked for")


def check_timeline(timeline: Timeline) -> None:
    """Refuse a timeline that no training could follow.

    Raises:
        ValueError: Says which event is wrong.
    """
    _check_types(timeline)
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


def _check_types(timeline: Timeline) -> None:
    """A step that is no whole number would never come, and its event would be passed over."""
    steps = [timeline.total_steps, timeline.steps_per_epoch]
    if timeline.round_steps is not None:
        steps.append(timeline.round_steps)
    for event in timeline.events:
        if not isinstance(event, PruningEvent):
            raise ValueError(f"{event!r} is not a PruningEvent")
        if isinstance(event.sparsity, bool) or not isinstance(event.sparsity, int | float):
            raise ValueError(f"a sparsity of {event.sparsity!r} is not a number")
        steps.append(event.step)
    for step in steps:
        if type(step) is not int:
            raise ValueError(f"{step!r} is not a whole number of steps (an int)")
    if timeline.round_steps is not None and timeline.round_steps < 1:
        raise ValueError(f"a round of {timeline.round_steps} steps is not possible")
