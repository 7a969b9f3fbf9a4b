"""What in a finished cell follows from the rest of it, worked out anew: no torch, no data.

Hashes show that a file was changed; records of before have none, and this holds for them too. What
needs the task's metrics is in :mod:`smc_bench.report.statistics.scores`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from smc_bench.engine.context import HELD_BACK
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import Timeline, build_timeline
from smc_bench.errors import SmcBenchError
from smc_bench.store.packed import thinned
from smc_bench.store.record import Record
from smc_bench.suite.cell import Cell

_ROUNDING = 1e-9


def inconsistency(
    cell: Cell, record: Record, layers: Mapping[str, Any] | None, curve: list[dict[str, Any]]
) -> str:
    """What contradicts the rest, in words; empty where all agrees.

    Args:
        cell: The record's settings.
        record: What was measured.
        layers: Content of ``layers.json.gz``, known to be counts by event and tensor.
        curve: Lines of ``train.jsonl``.
    """
    found = (*_origin(cell, record), *_splits(cell, record), *_counts(record))
    timeline = None
    try:
        timeline = _timeline(cell, record)
    except (ValueError, SmcBenchError) as error:
        found += (f"train_features: its schedule can't be made for so many: {error}",)
    if timeline is not None:
        found += tuple(_schedule(cell, record, timeline))
        found += tuple(_curve(cell, record, timeline, curve))
    if layers is not None:
        found += tuple(_layers(record, layers))
    return found[0] if found else ""


def recorded_splits(cell: Cell) -> tuple[str, ...]:
    """What a record calls the splits that a cell is evaluated on."""
    return (HELD_BACK,) if cell.task.held_back else cell.task.eval_splits


def _timeline(cell: Cell, record: Record) -> Timeline | None:
    """The cell's timeline; None where a plug-in that is not loaded would make it."""
    schedules = (cell.recipe.sparsity_schedule, cell.recipe.lr_schedule)
    if not all(schedule is None or schedule.known for schedule in schedules):
        return None
    return build_timeline(cell.recipe, cell.sparsity, record.train_features)


def _origin(cell: Cell, record: Record) -> Iterator[str]:
    pins = record.provenance.get("pins")
    if pins and pins != {**cell.data_pins, "model": cell.model_pin}:
        yield "provenance.pins are not those of its settings"
    try:
        started, finished = map(datetime.fromisoformat, (record.started, record.finished))
        if started > finished:
            yield f"it finished ({record.finished}) before it started ({record.started})"
    except (ValueError, TypeError):
        yield f"started and finished are no times: {record.started!r}, {record.finished!r}"
    if record.reportable != (cell.limit is None):
        yield "reportable is false, though training was not cut short"
    threads = record.execution.get("threads", record.threads)
    if threads != record.threads:
        yield f"it ran with {record.threads} threads, but was given {threads}"


def _splits(cell: Cell, record: Record) -> Iterator[str]:
    """Each split is counted and looked at; the oldest records have no ``outputs``."""
    wanted = {cell.task.train_split, *recorded_splits(cell)}
    for name, found in (("rows", record.rows), ("outputs", record.outputs or wanted)):
        if set(found) != wanted:
            yield f"{name} are of {_list(found)}, but it has {_list(wanted)}"
    if bool(record.outputs) != bool(record.weights_left):
        yield "outputs and weights_left are written together, but one of them is gone"
    if record.predictions_sha256 and not record.outputs:
        yield "outputs and weights_left are gone, which are older than predictions_sha256"
    for name, output in record.outputs.items():
        if output.all_equal and output.one_class is False:
            yield f"outputs.{name}: equal for all rows, but of several classes"


def _counts(record: Record) -> Iterator[str]:
    tensors = sum(total for _, total in record.weights_left.values())
    components = sum(count.total for count in record.sparsity.components.values())
    if record.weights_left and tensors != components:
        yield f"{tensors} weights by tensor (weights_left), but {components} by component"
    sparsity, pruned = record.sparsity, sum(c.zeros for c in record.sparsity.components.values())
    if sparsity.model.zeros != pruned:
        yield f"{sparsity.model.zeros} zeros of the model, but {pruned} of its components"
    if sparsity.model.total < components:
        yield f"a model of {sparsity.model.total} weights, but {components} by component"


def _schedule(cell: Cell, record: Record, timeline: Timeline) -> Iterator[str]:
    total = min(timeline.total_steps, cell.limit or timeline.total_steps)
    if record.total_steps != total:
        yield f"total_steps is {record.total_steps}, but its recipe trains {total}"
    wanted = [event for event in timeline.events if event.step <= total]
    if len(record.events) != len(wanted):
        yield f"{len(record.events)} pruning events, but its recipe has {len(wanted)}"
        return
    for event, due in zip(record.events, wanted, strict=True):
        if event.get("step") != due.step or not _same(event.get("target"), due.sparsity):
            at = f"{event.get('target')} at step {event.get('step')}"
            yield f"a pruning event to {at}; its recipe has {due.sparsity:g} at step {due.step}"
            return


def _curve(
    cell: Cell, record: Record, timeline: Timeline, curve: list[dict[str, Any]]
) -> Iterator[str]:
    points = thinned(curve)
    if points and points[-1]["step"] != record.total_steps:
        yield f"the curve of training does not end at its last step, {record.total_steps}"
        return
    for point in points:
        step = point["step"] - 1
        if step < 0:
            yield "the curve of training has a step before the first"
            return
        rate, sparsity = learning_rate(cell.recipe, timeline, step), timeline.sparsity_at(step)
        wanted = {"lr": rate, "sparsity": sparsity}
        for key, value in wanted.items():
            if key in point and not _same(point[key], value):
                yield (
                    f"the curve of training has {key} {point[key]} at step {step + 1}; its recipe "
                    f"has {value:g}"
                )
                return


def _layers(record: Record, layers: Mapping[str, Any]) -> Iterator[str]:
    totals: Mapping[str, int] = layers["tensors"]
    for name, total in totals.items():
        if record.weights_left and record.weights_left.get(name, (0, None))[1] != total:
            yield f"{name} has {total} weights by event (layers), and others in weights_left"
            return
    weights = sum(totals.values())
    if weights != record.sparsity.scope.total:
        yield f"{weights} weights by event (layers), but {record.sparsity.scope.total} in scope"
        return
    events = {event.get("step"): event for event in record.events}
    for noted in layers["events"]:
        event, left = events.get(noted.get("step")), sum(noted["left"].values())
        share = (weights - left) / weights if weights else 0.0
        if (
            event is None
            or not _same(event.get("target"), noted.get("target"))
            or not _same(event.get("scope", share), share)
        ):
            yield f"layers: what is left at step {noted.get('step')} is not what the event says"
            return
    ends = [step for step in (*list(events)[:1], *list(events)[-1:])]
    if not {*ends} <= {noted.get("step") for noted in layers["events"]}:
        yield "layers: the first or last pruning event is missing"


def _same(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) for value in (one, other))
    return numbers and math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _list(names: Any) -> str:
    return ", ".join(sorted(names))
