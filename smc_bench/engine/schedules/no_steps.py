"""Lengths that come to no optimizer step at all, where training or a schedule is meant. No torch.

Zero is right where it says "at once" (``start: 0it``, ``at: 0it``) or "none" (``warmup: 0it``), for
a finished model that is pruned and not trained after it (``duration: 0it`` with
``sparsity_schedule.kind: one_shot`` and ``train.start_from: teacher``), and for a dense language
model as it was pretrained. Other pretrained models have a new head, which has to be trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.durations import split_duration, to_steps
from smc_bench.engine.schedules.kinds import Schedule

Key = tuple[str, ...]


class NoStepsError(ValueError):
    """A length of a recipe is no optimizer step; ``key`` says which."""

    def __init__(self, key: Key, message: str) -> None:
        """Name the key, and what to do."""
        super().__init__(f"{'.'.join(key)}: {message}")
        self.key, self.message = key, message


def check_lengths(
    recipe: Recipe, train_rows: int, total: int | None = None, *, new_head: bool = False
) -> None:
    """Refuse a recipe of which a length comes to no step.

    Args:
        recipe: A resolved recipe.
        train_rows: Training sequences of one epoch.
        total: Steps of the whole training; without it shares of training are not looked at.
        new_head: Whether the pretrained model gets a new head for the task.

    Raises:
        NoStepsError: Naming the key.
    """
    for key, text, batch in _lengths(recipe):
        if total is None and split_duration(text)[1] == "%":
            continue
        epoch = steps_an_epoch(train_rows, batch)
        if to_steps(text, epoch, total) == 0 and not (
            key == _DURATION and _untrained(recipe, text, new_head=new_head)
        ):
            hint = _UNTRAINED if key == _DURATION else ""
            raise NoStepsError(
                key, f"{text} is no step of training (an epoch has {epoch}): give 1it or more{hint}"
            )


def steps_an_epoch(train_rows: int, batch: int) -> int:
    """Optimizer steps of an epoch; the last short batch counts."""
    return max(1, math.ceil(train_rows / batch))


_DURATION = ("train", "duration")
_UNTRAINED = (
    "; 0it is for a finished model that is pruned and not trained any more: sparsity_schedule.kind:"
    " one_shot with train.start_from: teacher, without regrowth; and for a dense language model as"
    " it was pretrained (other tasks have a new head)"
)


def _untrained(recipe: Recipe, text: str, *, new_head: bool) -> bool:
    """Whether no step is what is meant; a length that is rounded to none is not."""
    if split_duration(text)[0] != 0.0 or recipe.regrowth is not None:
        return False
    if recipe.sparsity_schedule is None:
        return not new_head
    return recipe.sparsity_schedule.one_event and recipe.train.start_from == "teacher"


def _lengths(recipe: Recipe) -> Iterator[tuple[Key, str, int]]:
    """Durations that must be a step at least: key, text and the batch that makes up its epochs."""
    schedule, length, batch = recipe.sparsity_schedule, recipe.length, recipe.train.batch
    if isinstance(length.length, str):
        yield _DURATION, length.length, length.batch
    rates, regrowth = recipe.lr_schedule, recipe.regrowth
    for key, found, its in (
        (_SCHEDULE, schedule, batch),
        (_DURATION, length.length, length.batch),
        (_RATES, rates if schedule is not None else None, batch),
    ):
        if isinstance(found, Schedule):
            texts = {name: getattr(found, name) for name in found.must_step}
            yield from (((*key, name), text, its) for name, text in texts.items() if text)
    if regrowth is not None and schedule is not None:
        yield ("regrowth", "every"), regrowth.every, batch
        yield ("regrowth", "until"), regrowth.until, batch


_SCHEDULE, _RATES = ("sparsity_schedule",), ("lr_schedule",)
