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


Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class PeakMemory(Stored):
    """The most memory that the attempt which finished took.

    Attributes:
        bytes: The most at any time.
        before: What was taken when the attempt began, in bytes: Python and libraries, and what a
            worker holds of earlier cells.
        of: ``cuda``: torch's allocations on the GPU. ``process``: what was resident, of the main
            process where several trained the cell.
        at_most: Whether ``bytes`` may be an earlier cell's, as the machine's mark can't be reset.
    """

    bytes: Annotated[int, Field(ge=0, strict=True)]
    before: Annotated[int, Field(ge=0, strict=True)]
    of: Literal["cuda", "process"]
    at_most: bool

    @property
    def own(self) -> int:
        """Bytes that the cell took itself."""
        return max(0, self.bytes - self.before)


class Record(Measured):
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
        head_paths: Ways through non-zero weights from the encoder to the logits: those left, and
            those of a dense head. None in older records, and where a norm stands in the head.
        files_sha256: SHA-256 of the other files in ``weights/``; empty in older records.
        predicted: Speed by the table of latencies, and its hash, where the target is a speed;
            ``smc-bench measure`` tells the measured one.
        attempt: Number of the attempt that finished.
        started: Start of that attempt (UTC, ISO 8601).
        finished: End of that attempt (UTC, ISO 8601).
        provenance: Commit of the code, versions of packages, processor, pins of data and model,
            and the environment variables that can change bits.
        predictions_sha256: SHA-256 of the content of ``predictions.json.gz``, as JSON with sorted
            keys and no spaces (the file may be compressed anew); empty in older records.
        layers_sha256: The same of ``layers.json.gz``; empty where there is none.
        curve_sha256: The same of ``train.jsonl``, thinned as small records keep it.
        record_sha256: The same of this record without this key. Older records lack the three.
        memory: The most memory it took; none in older records.
        execution: Micro-batch, threads and processes; ``micro_batch_halved`` and
            ``processes_changed`` list the attempts that could not keep them.
    """

    schema_version: int = Field(ge=1, strict=True)
    cell_id: str
    cell: dict[str, Any]
    reportable: bool
    attempt: Annotated[int, Field(ge=1, strict=True)]
    started: str
    finished: str
    provenance: dict[str, Any]
    predictions_sha256: Sha256 = ""
    layers_sha256: Sha256 = ""
    curve_sha256: Sha256 = ""
    record_sha256: Sha256 = ""
    execution: dict[str, Any] = Field(default_factory=dict)
    memory: PeakMemory | None = None

    @model_validator(mode="after")
    def _hashed_as_a_whole(self) -> Self:
        if (self.layers_sha256 or self.curve_sha256) and not self.record_sha256:
            raise ValueError("record_sha256 is gone, which is written with layers and curve's")
        return self

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
