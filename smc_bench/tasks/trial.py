"""A task tried on a few rows before anything is trained: its features and scores keep the contract.

A task of a user's own may return anything; what is wrong with it shows here, not after hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from smc_bench.errors import SmcBenchError
from smc_bench.tasks.base import Encoding, Feature, Outputs, Row, Scores, Task

_TARGETS = {
    "question_answering": ("start", "end"),
    "language_modelling": ("scored_from", "read"),
}


def try_task(
    task: Task, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
) -> list[Feature]:
    """Make features of a few rows and, for an evaluation split, score invented outputs.

    Args:
        task: The task.
        rows: A few rows of one split.
        tokenizer: The model's.
        encoding: How long sequences are cut.
        train: Whether it is the split that is trained on.

    Returns:
        The features.

    Raises:
        SmcBenchError: The task failed, or what it returned is not what the contract asks for.
    """
    features: list[Feature] = _called(task, "features", rows, tokenizer, encoding, train=train)
    _check_features(task, rows, features, encoding, train=train)
    if not train:
        scores = _called(task, "score", rows, features, _invented(task, features))
        if not isinstance(scores, Scores):
            raise _broken(task, "score", f"returned {type(scores).__name__}, not Scores")
        _check_metrics(task, "score", scores.metrics)
        for name, values in (("predictions", scores.predictions), ("correct", scores.correct)):
            if len(values) not in (0, len(rows)):
                raise _broken(task, "score", f"{len(values)} {name} for {len(rows)} rows")
        constant = _called(task, "trivial", rows)
        if constant or task.head != "language_modelling" or task.new_tokens:  # may name none
            _check_metrics(task, "trivial", constant)
    return features


def _called(task: Task, method: str, *arguments: Any, **named: Any) -> Any:
    try:
        return getattr(task, method)(*arguments, **named)
    except SmcBenchError:
        raise
    except Exception as error:  # whatever a user's own code raises
        raise _broken(task, method, f"failed: {type(error).__name__}: {error}") from error


def _check_features(
    task: Task, rows: Sequence[Row], features: Any, encoding: Encoding, *, train: bool
) -> None:
    if not isinstance(features, Sequence) or not all(isinstance(f, Mapping) for f in features):
        raise _broken(task, "features", "must return a list of dictionaries")
    writes = task.head == "language_modelling"
    targets = _TARGETS.get(task.head, ("label",)) if train or writes else ()
    for feature in features:
        missing = [key for key in ("input_ids", "example", *targets) if key not in feature]
        if missing:
            raise _broken(task, "features", f"a feature has no {missing[0]!r}")
        choices = task.head == "multiple_choice"
        sequences = feature["input_ids"] if choices else [feature["input_ids"]]
        if choices and len(sequences) != task.spec.labels:
            wanted = f"a feature has {len(sequences)} choices, but the task {task.spec.labels}"
            raise _broken(task, "features", wanted)
        if any(not 0 < len(ids) <= encoding.max_length for ids in sequences):
            raise _broken(
                task, "features", f"a sequence is empty or longer than {encoding.max_length} tokens"
            )
        for key in targets if writes else ():
            prompt = bool(task.new_tokens) and not train  # what is written comes behind it
            if not 0 < feature[key] < len(feature["input_ids"]) + prompt:
                raise _broken(task, "features", f"{key} is {feature[key]}, not within its tokens")
    examples = {feature["example"] for feature in features}
    # An empty text has nothing to predict.
    if writes and not task.new_tokens and examples <= set(range(len(rows))):
        return
    if examples != set(range(len(rows))):
        raise _broken(task, "features", f"{len(examples)} of {len(rows)} rows have a feature")


def _invented(task: Task, features: Sequence[Feature]) -> Outputs:
    """Outputs of the right shapes that prefer now this answer, now that."""
    rng = np.random.default_rng(0)

    def one(size: int) -> Any:
        return rng.normal(size=size).astype(np.float32)

    if task.head == "question_answering":
        return [(one(len(f["input_ids"])), one(len(f["input_ids"]))) for f in features]
    if task.new_tokens:
        return [(np.array([("the answer", "")[i % 2]]),) for i in range(len(features))]
    if task.head == "language_modelling":
        sizes = [len(f["input_ids"]) - f["scored_from"] for f in features]
        return [(abs(one(size)), -abs(one(size))) for size in sizes]
    return [(one(task.spec.labels),) for _ in features]


def _check_metrics(task: Task, method: str, metrics: Any) -> None:
    wanted = list(task.spec.metrics)
    if not isinstance(metrics, Mapping) or set(metrics) != set(wanted):
        found = sorted(map(str, metrics)) if isinstance(metrics, Mapping) else metrics
        raise _broken(task, method, f"gave the metrics {found}, but the spec names {wanted}")
    for name, value in metrics.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise _broken(task, method, f"gave {name} = {value!r}, which is not a finite number")


def _broken(task: Task, method: str, what: str) -> SmcBenchError:
    where = f"{type(task).__module__}.{type(task).__qualname__}"
    return SmcBenchError(f"task {task.spec.name!r}: {method} of {where}: {what}")
