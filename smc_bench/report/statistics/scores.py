"""See that a record's scores are those of its task, and follow from its results by example."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain

from smc_bench.errors import DamagedError
from smc_bench.report.statistics.examples import Chosen, Examples, Rows, check_examples, metric_name
from smc_bench.store.consistent import recorded_splits
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.tasks.metrics import percent
from smc_bench.tasks.registry import IMPLEMENTATIONS
from smc_bench.tasks.specs import SPECS, TaskSpec

_TOLERANCE = 1e-6

_CUT = ("span", "language_modelling")
"""Families whose rows become several sequences, or none."""

_CLASSLESS = ("regression", "generation")
"""Families without classes among those with one sequence a row."""


def check_scores(store: Store, cell: Cell) -> None:
    """See that a finished cell's scores, and what stands beside them, are what they can be.

    Metrics must be the task's; those that follow from the results by example, and the scores of
    the best constant answer where they follow, must be these; rows must be as many, and an output
    that is said to be one class must be one.

    Raises:
        DamagedError: They are not, or the file with the results by example can't be read.
    """
    record = store.folder(cell.folder).record()
    if record is None or cell.task.name not in SPECS:  # a task of one's own, not given here
        return
    check_examples(store, cell)
    examples = Examples(Chosen({cell.id: cell}), store, {cell.id: record})
    try:
        problem = next(chain(_names(cell, record), _by_split(cell, record, examples)), "")
    except (TypeError, ValueError) as error:
        problem = f"its results by example can't be scored: {error}"
    if problem:
        path = store.folder(cell.folder).path / "record.json"
        raise DamagedError(f"{path}: changed after it finished: {problem}")


def _names(cell: Cell, record: Record) -> Iterator[str]:
    """Metrics of the task, each of them and no other: ``score`` reports what the spec names."""
    names = SPECS[cell.task.name].metrics
    wanted = {metric_name(cell, split, name) for split in cell.task.eval_splits for name in names}
    for key, found in (("metrics", record.metrics), ("trivial", record.trivial)):
        if set(found) != wanted:
            yield f"{key} has {_list(found)}; the task's are {_list(wanted)}"


def _by_split(cell: Cell, record: Record, examples: Examples) -> Iterator[str]:
    spec, trained = SPECS[cell.task.name], record.rows[cell.task.train_split]
    cut = spec.family in _CUT or _is_own(spec)  # into windows, or as its author knows
    if not cut and trained != record.train_features:
        yield f"{trained} rows were trained on, but {record.train_features} sequences"
    for split, named in zip(cell.task.eval_splits, recorded_splits(cell), strict=True):
        rows = examples.rows(cell.id, split)
        if rows is not None:
            yield from _against_rows(spec, record, named, rows)
        for name, value in _constant(spec, rows).items():
            metric = metric_name(cell, split, name)
            if not math.isclose(record.trivial[metric], value, abs_tol=_TOLERANCE):
                yield f"trivial.{metric} is {record.trivial[metric]:g}, but {value:g} follows"


def _against_rows(spec: TaskSpec, record: Record, split: str, rows: Rows) -> Iterator[str]:
    count, output = len(rows["predictions"]), record.outputs.get(split)
    if record.rows.get(split, count) != count:
        yield f"{record.rows[split]} rows of {split}, but {count} results by example"
    if output is None or spec.family in _CUT or _is_own(spec):
        return
    if output.rows != count:
        yield f"outputs.{split} is about {output.rows} rows, of {count}"
    alike = len(set(rows["predictions"])) <= 1
    if output.one_class != (None if spec.family in _CLASSLESS else alike):
        said = {True: "one class", False: "several classes", None: "no classes"}
        yield f"outputs.{split} is said to be {said[output.one_class]}; its predictions are not"


def _constant(spec: TaskSpec, rows: Rows | None) -> Mapping[str, float]:
    """The best scores of an answer that ignores the input, where they are known."""
    if _is_own(spec):
        return {}
    if spec.family in ("regression", "span", "generation"):
        return dict.fromkeys(spec.metrics, 0.0)
    if spec.family == "multiple_choice":
        return {"accuracy": 100.0 / spec.labels}
    if rows is None or spec.labels != 2:  # which class is right is known of two alone
        return {}
    gold = [
        int(said) if right else 1 - int(said)
        for said, right in zip(rows["predictions"], rows["correct"], strict=True)
    ]
    scores = [percent(spec.metrics, [label] * len(gold), gold) for label in range(2)]
    return {name: max(score[name] for score in scores) for name in spec.metrics}


def _is_own(spec: TaskSpec) -> bool:
    """Whether a plug-in scores it: what it predicts and calls trivial, its author knows."""
    own = IMPLEMENTATIONS.get(spec.name)
    return own is not None and not (isinstance(own, str) and own.startswith("smc_bench.tasks."))


def _list(names: Mapping[str, float] | set[str]) -> str:
    return ", ".join(sorted(names))
