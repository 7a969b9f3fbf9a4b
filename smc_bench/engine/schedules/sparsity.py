"""The timeline of a recipe: length of training and pruning events, in optimizer steps. No torch."""

from __future__ import annotations

from smc_bench.engine.pruning.structures import pattern_sparsity
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.durations import to_steps
from smc_bench.engine.schedules.kinds import SparsitySchedule
from smc_bench.engine.schedules.levels import rounds_to as rounds_to
from smc_bench.engine.schedules.levels import scaled_levels as scaled_levels
from smc_bench.engine.schedules.no_steps import check_lengths, steps_an_epoch
from smc_bench.engine.schedules.timeline import MAX_EVENTS as MAX_EVENTS
from smc_bench.engine.schedules.timeline import PruningEvent as PruningEvent
from smc_bench.engine.schedules.timeline import Timeline as Timeline
from smc_bench.engine.schedules.timeline import check_timeline
from smc_bench.errors import SmcBenchError


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
    total = _total(recipe, target, train_rows)
    if total:
        check_lengths(recipe, train_rows, total)
    steps_per_epoch = steps_an_epoch(train_rows, recipe.train.batch)
    schedule = recipe.sparsity_schedule
    if schedule is None:
        return Timeline(total, steps_per_epoch, ())
    pattern = pattern_sparsity(recipe.structure)
    if pattern is not None and abs(pattern - target) > 1e-9:
        raise ValueError(
            f"structure: {recipe.structure} leaves a sparsity of {pattern:g}, not {target:g}"
        )
    return _asked(schedule, target, steps_per_epoch, total)


def _total(recipe: Recipe, target: float, train_rows: int) -> int:
    length = recipe.length
    per_epoch = steps_an_epoch(train_rows, length.batch)
    if isinstance(length.length, str):
        return to_steps(length.length, per_epoch)
    return _asked(length.length, target, per_epoch, 0).total_steps


def _asked(schedule: SparsitySchedule, target: float, per_epoch: int, total: int) -> Timeline:
    """A schedule's own timeline, looked at: a plug-in may fail, or give what can't be trained."""
    if not schedule.known:
        raise ValueError(
            f"sparsity_schedule {schedule.kind!r} is not known: load the plug-in that registers it"
        )
    try:
        timeline = schedule.timeline(target, per_epoch, total)
    except (ValueError, SmcBenchError):
        raise
    except Exception as error:
        failed = f"{type(error).__name__}: {error}"
        raise ValueError(f"sparsity_schedule {schedule.kind!r} failed: {failed}") from error
    if not isinstance(timeline, Timeline):
        raise ValueError(f"sparsity_schedule {schedule.kind!r} gives {timeline!r}, not a Timeline")
    check_timeline(timeline)
    if not schedule.sets_length and timeline.total_steps != total:
        raise ValueError(
            f"sparsity_schedule {schedule.kind!r} gives {timeline.total_steps} steps, but training "
            f"takes {total}"
        )
    _check_end(schedule, timeline, target)
    return timeline


def _check_end(schedule: SparsitySchedule, timeline: Timeline, target: float) -> None:
    """Refuse what would stand in a table as sparser, or less sparse, than it is.

    The audit holds the saved weights to the schedule's last event, so that one must be right.
    """
    last = timeline.final_sparsity
    if target > 0.0 and not last:
        raise ValueError(
            f"sparsity_schedule {schedule.kind!r} prunes nothing in {timeline.total_steps} steps "
            f"of training, but the target is {target:g}: start earlier, end later, or prune more "
            "often"
        )
    if schedule.ends_on_target and abs(last - target) > 1e-9:
        raise ValueError(
            f"sparsity_schedule {schedule.kind!r} ends at a sparsity of {last:g} (step "
            f"{timeline.events[-1].step}), not at the target {target:g}"
        )
