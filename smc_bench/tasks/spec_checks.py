"""Is the spec of a task right? Asked when the task is registered, before any torch is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import get_args

from smc_bench.errors import SmcBenchError
from smc_bench.names import path_problem
from smc_bench.tasks.specs import SPECS, EvalSplit, Family, TaskSpec

METRICS: dict[Family, tuple[str, ...]] = {
    "classification": ("accuracy", "f1", "matthews_correlation"),
    "regression": ("pearson", "spearman"),
    "multiple_choice": ("accuracy",),
    "span": ("f1", "exact_match"),
    "language_modelling": ("perplexity", "nats_per_token"),
    "generation": ("f1", "exact_match"),
}
"""What the scores of each family's own class consist of; a class with its own may have others."""

_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SPLIT = re.compile(r"\w[\w.+-]*")
_SUFFIX = re.compile(r"(_[A-Za-z0-9]+)?")
_TEXT_COLUMNS = 2  # a model takes a text or a pair
_SPAN_COLUMNS = ("id", "context", "question", "answers")


def check_spec(spec: TaskSpec, *, own_scores: bool) -> None:
    """Fail on a spec that could only fail later.

    Args:
        spec: Of the task to register.
        own_scores: Whether its class computes metrics of its own.

    Raises:
        SmcBenchError: Naming the task, the field, and what it should be.
    """
    if not isinstance(spec, TaskSpec):
        raise SmcBenchError(f"{spec!r} is not a TaskSpec")
    problem = next(_problems(spec, own_scores=own_scores), None)
    if problem is not None:
        raise SmcBenchError(f"task {spec.name!r}: {problem}")


def _problems(spec: TaskSpec, *, own_scores: bool) -> Iterator[str]:
    yield from _of_types(spec)
    yield from _of_names(spec)
    yield from _of_labels(spec)
    if own_scores:
        return
    yield from _of_columns(spec)
    known = METRICS[spec.family]
    for name in spec.metrics:
        if name not in known:
            yield (
                f"unknown metric {name!r}; the family {spec.family} has {', '.join(known)} "
                "(another metric needs a class with its own score and trivial)"
            )
    if spec.family == "classification" and "f1" in spec.metrics and spec.labels != 2:
        yield (
            f"the metric 'f1' is that of the positive one of two classes, but labels is "
            f"{spec.labels}: use accuracy, or a class with its own score and trivial"
        )


def _of_types(spec: TaskSpec) -> Iterator[str]:
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
            yield f"{field.name} must be an integer, not {value!r}"
        if field.type == "str" and not isinstance(value, str):
            yield f"{field.name} must be a text, not {value!r}"
        if str(field.type).startswith("tuple[str") and not (
            isinstance(value, tuple) and all(isinstance(item, str) for item in value)
        ):
            yield f"{field.name} must be a tuple of texts, such as ('a', 'b'), not {value!r}"
    splits = spec.eval_splits
    if not isinstance(splits, tuple) or not all(isinstance(s, EvalSplit) for s in splits):
        yield f"eval_splits must be a tuple of EvalSplit, not {splits!r}"
    for name, least in (("version", 1), ("train_rows", 1), ("max_length", 8), ("stride", 0)):
        if getattr(spec, name) < least:
            yield f"{name} must be {least} or more, not {getattr(spec, name)}"
    if spec.stride >= spec.max_length:
        yield f"stride {spec.stride} must be less than max_length {spec.max_length}"


def _of_names(spec: TaskSpec) -> Iterator[str]:
    problem = path_problem(spec.name)
    if problem is not None:
        yield problem
    if not spec.metrics or not spec.eval_splits or not spec.columns:
        yield "it needs columns, metrics and eval_splits: one of each at least"
    for metric in spec.metrics:
        if not _METRIC.fullmatch(metric):
            yield f"the metric {metric!r} must be named with letters, digits and '_'"
    for name in (spec.config, spec.train_split, *(s.name for s in spec.eval_splits)):
        if not _SPLIT.fullmatch(name):
            yield f"{name!r} can't be the name of a config or split"
    for suffix in (split.suffix for split in spec.eval_splits):
        if not _SUFFIX.fullmatch(suffix):
            yield f"the suffix {suffix!r} must be '_' and letters or digits, or empty"
    for what, names in (
        ("columns", spec.columns),
        ("eval_splits", tuple(s.name for s in spec.eval_splits)),
        ("label_names", spec.label_names),
    ):
        if len(set(names)) != len(names):
            yield f"{what} names something twice: {', '.join(names)}"
    for field, names in (
        ("lower_is_better", spec.lower_is_better),
        ("not_percent", spec.not_percent),
    ):
        for metric in names:
            if metric not in spec.metrics:
                yield f"{field} names {metric!r}, which is none of its metrics"
    yield from _of_directions(spec)
    shown = [m + s.suffix for s in spec.eval_splits for m in spec.metrics]
    if len(set(shown)) != len(shown):
        yield f"two metrics would have one name ({', '.join(shown)}): give splits other suffixes"
    if spec.hub is not None and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", spec.hub):
        yield f"hub must be owner/name, or None where the rows come from a mirror, not {spec.hub!r}"


def _of_directions(spec: TaskSpec) -> Iterator[str]:
    """A metric's name means the same in all tasks: tables know no more of it."""
    for other in SPECS.values():
        for metric in spec.metrics if other.name != spec.name else ():
            if metric not in other.metrics:
                continue
            for field in ("lower_is_better", "not_percent"):
                if (metric in getattr(spec, field)) != (metric in getattr(other, field)):
                    yield (
                        f"{field}: the task {other.name!r} has a metric {metric!r} too, and says "
                        "otherwise of it: name yours differently"
                    )


def _of_labels(spec: TaskSpec) -> Iterator[str]:
    if spec.family not in get_args(Family):
        yield f"unknown family {spec.family!r}; known: {', '.join(get_args(Family))}"
        return
    one = ("regression", "language_modelling", "generation")
    fixed = 1 if spec.family in one else {"span": 2}.get(spec.family)
    if fixed is not None and spec.labels != fixed:
        yield f"labels is always {fixed} in the family {spec.family}, not {spec.labels}"
    if fixed is None and spec.labels < 2:
        yield f"labels must be 2 or more in the family {spec.family}, not {spec.labels}"
    if spec.label_names and len(spec.label_names) != spec.labels:
        yield f"{len(spec.label_names)} label_names for {spec.labels} labels"


def _of_columns(spec: TaskSpec) -> Iterator[str]:
    if spec.family in ("classification", "regression"):
        texts = [column for column in spec.columns if column != "label"]
        if "label" not in spec.columns or not 1 <= len(texts) <= _TEXT_COLUMNS:
            yield (
                f"columns of the family {spec.family} are one or two with texts, and 'label'; "
                f"not {', '.join(spec.columns)}"
            )
    if spec.family == "language_modelling" and len(spec.columns) != 1:
        yield f"the family language_modelling has one column, with texts; not {spec.columns}"
    lacking = [column for column in _SPAN_COLUMNS if column not in spec.columns]
    if spec.family in ("span", "generation") and lacking:
        wanted = ", ".join(_SPAN_COLUMNS)
        yield f"columns of the family {spec.family} are {wanted}: {lacking[0]} lacks"
