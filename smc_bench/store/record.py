"""The versioned record that a finished cell leaves, and the failure that another leaves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

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


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ZeroCount(_Stored):
    """Zeros among weights."""

    zeros: int
    total: int

    @property
    def share(self) -> float:
        """Zeros over total, 0..1."""
        return self.zeros / self.total if self.total else 0.0


class Sparsity(_Stored):
    """Sparsity of the saved weights; see ``smc_bench.engine.context.MeasuredSparsity``."""

    scope: ZeroCount
    encoder: ZeroCount
    model: ZeroCount
    components: dict[str, ZeroCount]


class OutputCheck(_Stored):
    """Whether outputs on a split are constant: all rows equal, and one class only."""

    rows: int
    all_equal: bool
    one_class: bool | None = None


class Record(_Stored):
    """A finished cell: its settings, what was measured, and where it came from."""

    schema_version: int = Field(ge=1)
    cell_id: str
    cell: dict[str, Any]
    reportable: bool
    metrics: dict[str, float]
    trivial: dict[str, float]
    sparsity: Sparsity
    events: list[dict[str, float]]
    total_steps: int
    train_features: int
    rows: dict[str, int]
    weights_sha256: str
    train_seconds: float
    device: str
    threads: int
    # Of records before there was a choice: all were padded.
    padding: str = "dynamic"
    # The first so many steps were kept by an attempt at a cell that begins alike.
    prefix_steps: int = 0
    attempt: int
    started: str
    finished: str
    provenance: dict[str, Any]
    # Micro-batch and threads, and each time a lack of memory halved the former.
    execution: dict[str, Any] = Field(default_factory=dict)
    # By split: evaluation splits, and the training split at training's end.
    outputs: dict[str, OutputCheck] = Field(default_factory=dict)
    # By prunable tensor: weights left, and all.
    weights_left: dict[str, tuple[int, int]] = Field(default_factory=dict)


class Failure(_Stored):
    """Why an attempt did not finish."""

    type: FailureType
    message: str
    traceback: str = ""
    attempt: int
    time: str
