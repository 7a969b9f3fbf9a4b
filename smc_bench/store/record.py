"""The versioned record that a finished cell leaves, and the failure that another leaves."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from smc_bench.engine.outcome import Measured, Stored

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


class Record(Measured):
    """A finished cell: its settings, what was measured, and where it came from.

    Reading one checks ranges; :func:`smc_bench.store.reading.parse_record` also that it is of a
    known version and belongs to its folder.
    """

    schema_version: int = Field(ge=1, strict=True)
    cell_id: str
    cell: dict[str, Any]
    reportable: bool
    attempt: Annotated[int, Field(ge=1, strict=True)]
    started: str
    finished: str
    provenance: dict[str, Any]
    # Of the results by example, as JSON (the file may be packed anew); records of before have none.
    predictions_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    # Micro-batch and threads, and each time a lack of memory halved the former.
    execution: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_texts(self) -> Self:
        for key in ("packages", "pins"):
            named = self.provenance.get(key) or {}
            if not isinstance(named, dict) or not all(
                value is None or isinstance(value, str) for value in named.values()
            ):
                raise ValueError(f"provenance.{key} must map names to texts")
        return self


class Failure(Stored):
    """Why an attempt did not finish."""

    type: FailureType
    message: str
    traceback: str = ""
    attempt: int
    time: str
