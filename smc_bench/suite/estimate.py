"""GPU-hours of cells, estimated before anything has run: arithmetic over an assumed rate.

Never a measurement. Work = matrix products of the encoder on sequences of the task's full length
(real ones are shorter), three times those of a forward pass in training (the backward pass takes
two more); evaluation, the teacher's one pass and data loading are left out. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from smc_bench.suite.cell import Cell
from smc_bench.suite.length import timeline_of
from smc_bench.tasks.specs import SPECS

MIXED_RATE, FULL_RATE = 100e12, 15e12
"""Assumed FLOP/s in fp16 or bf16 and in fp32: about a third and three quarters of the most that an
A100 can do by NVIDIA's data sheet (312 and 19.5 TFLOP/s)."""

REASON = (
    "an estimate, not a measurement: 3 x forward FLOPs of the encoder at full sequence length, "
    f"over an assumed {MIXED_RATE / 1e12:.0f} TFLOP/s (fp32: {FULL_RATE / 1e12:.0f})"
)


# What names of models on the Hub say of their size: from BERT-base on, days on a processor.
_LARGE = re.compile(r"(?i)(?<![a-z0-9])(base|large|x+l(arge)?|huge|[0-9.]+b)(?![a-z0-9])")


def needs_gpu(model: str) -> bool:
    """Whether a model's name says that it is too large to be trained without a GPU."""
    return model in ENCODERS or _LARGE.search(model) is not None


@dataclass(frozen=True)
class Encoder:
    """Size of an encoder: weights of its Linear layers, layers, width."""

    weights: int
    layers: int
    width: int

    def forward_flops(self, length: int) -> int:
        """Matrix products of one sequence: 2 w L for the layers, 4 L^2 d a layer for attention."""
        return 2 * self.weights * length + 4 * self.layers * length**2 * self.width


# Weights: 4 d^2 + 2 d (4 d) a layer.
ENCODERS = {
    "google-bert/bert-base-uncased": Encoder(84_934_656, 12, 768),
    "FacebookAI/roberta-large": Encoder(301_989_888, 24, 1024),
}


def gpu_hours(cell: Cell) -> float | None:
    """Estimated hours of one GPU, or None where the model's size is not known here."""
    encoder = ENCODERS.get(cell.model)
    if encoder is None:
        return None
    timeline, spec = timeline_of(cell), SPECS[cell.task.name]
    rows = timeline.total_steps * cell.recipe.train.batch
    options = cell.recipe.scorer_options
    if cell.recipe.sparsity_schedule is not None and "gradient_batch" in options:
        count = options["gradients"]
        scored = count * options["gradient_batch"] if isinstance(count, int) else spec.train_rows
        rows += len(timeline.events) * scored
    # A multiple-choice row is a sequence for each choice.
    sequences = rows * (spec.labels if spec.family == "multiple_choice" else 1)
    work = 3 * sequences * encoder.forward_flops(cell.task.max_length)
    rate = FULL_RATE if cell.recipe.train.precision == "fp32" else MIXED_RATE
    return work / rate / 3600.0


def total_gpu_hours(cells: Iterable[Cell]) -> float | None:
    """Sum over cells, or None where one is not known."""
    found = [gpu_hours(cell) for cell in cells]
    known = [hours for hours in found if hours is not None]
    return sum(known) if known and len(known) == len(found) else None
