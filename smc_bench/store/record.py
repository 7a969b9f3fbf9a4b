"""The versioned record that a finished cell leaves, and the failure that another leaves."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from smc_bench.engine.recipe import COMPONENTS

SCHEMA_VERSION = 1
"""Raised when a key changes its meaning; keys that are added are optional, and change nothing."""

FailureType = Literal[
    "out_of_memory",
    "diverged",
    "audit_failed",
    "killed",
    "timeout",
    "missing_data",
    "disk_full",
    "invalid",
    "bug",
]

# These say nothing about the cell itself, so the next run tries again unasked.
TRANSIENT: frozenset[str] = frozenset({"killed", "missing_data", "disk_full"})


Whole = Annotated[int, Field(ge=0, strict=True)]
"""A count."""

Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False, strict=True)]
Points = Annotated[float, Field(allow_inf_nan=False, strict=True)]

# Lowest values of the metrics that tasks here have, with a split's suffix (``accuracy_mm``); the
# highest is 100. What a metric of somebody's own may be, its author knows.
_LOWEST = (
    (re.compile(r"(accuracy|f1|exact_match)(_.*)?"), 0.0),
    (re.compile(r"(matthews_correlation|pearson|spearman)(_.*)?"), -100.0),
)
_ROUNDING = 1e-9


def _in_percent(metrics: dict[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        for pattern, lowest in _LOWEST:
            if pattern.fullmatch(name) and not lowest - _ROUNDING <= value <= 100.0 + _ROUNDING:
                raise ValueError(f"{name} is {value:g}, outside {lowest:g}..100")
    return metrics


Metrics = Annotated[dict[str, Points], AfterValidator(_in_percent)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ZeroCount(_Stored):
    """Zeros among weights.

    Attributes:
        zeros: Weights that are zero in the saved file.
        total: All weights.
    """

    zeros: Whole
    total: Whole

    @model_validator(mode="after")
    def _no_more_than_all(self) -> Self:
        if self.zeros > self.total:
            raise ValueError(f"{self.zeros} zeros among {self.total} weights")
        return self

    @property
    def share(self) -> float:
        """Zeros over total, 0..1."""
        return self.zeros / self.total if self.total else 0.0


class Sparsity(_Stored):
    """Sparsity of the saved weights, over three denominators.

    Attributes:
        scope: Of the prunable weights in the recipe's scope.
        encoder: Of the weights of the encoder's linear layers.
        model: Pruned weights over all parameters, biases and LayerNorm included.
        components: The same by component: embeddings, encoder and head.
    """

    scope: ZeroCount
    encoder: ZeroCount
    model: ZeroCount
    components: dict[str, ZeroCount]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        missing = [name for name in COMPONENTS if name not in self.components]
        if missing:
            raise ValueError(f"nothing is said of the {', '.join(missing)}")
        if self.components["encoder"] != self.encoder:
            raise ValueError("the encoder has one count by component and another of its own")
        if self.scope.zeros > sum(self.components[name].zeros for name in COMPONENTS):
            raise ValueError("there are more zeros in the scope than in all components")
        return self


class OutputCheck(_Stored):
    """Whether a model's output depends on its input, measured on the logits of some rows.

    Attributes:
        rows: Sequences that were looked at (windows, for spans).
        all_equal: Whether the output is constant. Classification and regression: every row has the
            same logits. Multiple choice: in no row does one choice differ from another. Spans: at
            each position all windows that reach it have the same logits. Equal is what differs by
            no more than float32 rounding, see ``engine/loss/constancy.py``. Of a single row
            it says nothing: that is always equal to itself (but for multiple choice).
        one_class: Whether arg max gives one and the same class for all rows; None where there are
            no classes (regression, spans).
    """

    rows: Whole
    all_equal: bool
    one_class: bool | None = None


class Record(_Stored):
    """A finished cell: its settings, what was measured, and where it came from.

    Reading one checks ranges; :func:`smc_bench.store.reading.parse_record` also that it is of a
    known version and belongs to its folder.

    Attributes:
        schema_version: Version of this format. A newer one than the reader's is an error.
        cell_id: Identity of the cell: 12 hexadecimal digits.
        cell: The resolved settings; the identity is their hash.
        reportable: False for cells that ``--limit`` cut short; tables leave them out.
        metrics: Scores in percent, by metric with the split's suffix.
        trivial: Scores in percent of the best answer that ignores the input.
        sparsity: Zeros in the saved weights.
        events: ``step``, ``target`` and measured sparsity (0..1) of each pruning event.
        total_steps: Optimizer steps of the whole training.
        train_features: Sequences (windows, for spans) of one epoch.
        rows: Rows used of each split.
        weights_sha256: SHA-256 of ``weights/model.safetensors``.
        train_seconds: Training time of the attempt that finished, in seconds, without reused steps
            and waiting.
        device: Device that it was trained on.
        threads: Threads of torch.
        padding: ``none`` where batches held real tokens only, ``dynamic`` where they were padded
            to their longest row, as all were before there was a choice.
        prefix_steps: Reused steps: the first so many were trained by a cell with a shared prefix.
        outputs: Whether the output depends on the input, by split: every evaluated split, and at
            the end of training at most 256 sequences of the training split.
        weights_left: Weights that are not zero, and all, of each prunable tensor.
        files_sha256: SHA-256 of the other files in ``weights/``; empty in older records.
        attempt: Number of the attempt that finished.
        started: Start of that attempt (UTC, ISO 8601).
        finished: End of that attempt (UTC, ISO 8601).
        provenance: Commit of the code, versions of packages, processor, pins of data and model,
            and the environment variables that can change bits.
        predictions_sha256: SHA-256 of the content of ``predictions.json.gz``, as JSON with sorted
            keys and no spaces (the file may be compressed anew); empty in older records.
        execution: Micro-batch, threads and processes; ``micro_batch_halved`` and
            ``processes_changed`` list the attempts that could not keep them.
    """

    schema_version: int = Field(ge=1, strict=True)
    cell_id: str
    cell: dict[str, Any]
    reportable: bool
    metrics: Annotated[Metrics, Field(min_length=1)]
    trivial: Metrics
    sparsity: Sparsity
    events: list[dict[str, float]]
    total_steps: Whole
    train_features: Whole
    rows: dict[str, Whole]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    train_seconds: Seconds
    device: str
    threads: Annotated[int, Field(ge=1, strict=True)]
    padding: str = "dynamic"
    prefix_steps: Whole = 0
    outputs: dict[str, OutputCheck] = Field(default_factory=dict)
    weights_left: dict[str, tuple[int, int]] = Field(default_factory=dict)
    files_sha256: dict[str, str] = Field(default_factory=dict)
    attempt: Annotated[int, Field(ge=1, strict=True)]
    started: str
    finished: str
    provenance: dict[str, Any]
    predictions_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    execution: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.prefix_steps > self.total_steps:
            raise ValueError(f"{self.prefix_steps} of {self.total_steps} steps were spared")
        for name, (left, total) in self.weights_left.items():
            if not 0 <= left <= total:
                raise ValueError(f"{name}: {left} of {total} weights are left")
        by_tensor = sum(total - left for left, total in self.weights_left.values())
        by_component = sum(count.zeros for count in self.sparsity.components.values())
        if self.weights_left and by_tensor != by_component:
            raise ValueError(
                f"{by_tensor} zeros by tensor (weights_left), but {by_component} by component"
            )
        for key in ("packages", "pins"):
            named = self.provenance.get(key) or {}
            if not isinstance(named, dict) or not all(
                value is None or isinstance(value, str) for value in named.values()
            ):
                raise ValueError(f"provenance.{key} must map names to texts")
        for event in self.events:
            step = event.get("step", -1.0)
            if not 0.0 <= step <= self.total_steps:
                raise ValueError(f"a pruning event at step {step:g} of {self.total_steps}")
            for key, share in event.items():
                if key != "step" and not 0.0 <= share <= 1.0:
                    raise ValueError(f"{key} of the event at step {step:g} is {share}, not 0..1")
        return self


class Failure(_Stored):
    """Why an attempt did not finish.

    Attributes:
        type: Kind of failure. ``killed``, ``missing_data`` and ``disk_full`` say nothing about the
            cell and are tried again by the next run; the others need ``--retry``.
        message: What was wrong, in one sentence.
        traceback: Python's traceback, where there is one.
        attempt: Number of the attempt.
        time: When it failed (UTC, ISO 8601).
    """

    type: FailureType
    message: str
    traceback: str = ""
    attempt: int
    time: str
