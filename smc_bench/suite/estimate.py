"""GPU-hours of cells, estimated before anything has run: arithmetic over a rate.

The rate is what ``doctor --gpu`` measured on this kind of GPU, else an assumed one. The hours are
never a measurement. Work = matrix products of the encoder on sequences of the task's full length
(real ones are shorter), three times those of a forward pass in training (the backward pass takes
two more); evaluation, the teacher's one pass and data loading are left out. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from smc_bench.suite.card import Card, Rate
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import timeline_of
from smc_bench.tasks.specs import SPECS

MIXED_RATE, FULL_RATE = 100e12, 15e12
"""Assumed FLOP/s in fp16 or bf16 and in fp32: about a third and three quarters of the most that an
A100 can do by NVIDIA's data sheet (312 and 19.5 TFLOP/s)."""

_WORK = "an estimate, not a measurement: 3 x forward FLOPs of the encoder at full sequence length, "
_ASSUMED = f"an assumed {MIXED_RATE / 1e12:.0f} TFLOP/s (fp32: {FULL_RATE / 1e12:.0f})"
REASON = f"{_WORK}over {_ASSUMED}"
"""Where hours come from when no card was measured."""


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

    def flops_per_second(self, rate: Rate) -> float:
        """FLOP/s of training on real tokens, as :meth:`forward_flops` counts them, times three."""
        forward = 2 * self.weights * rate.tokens + 4 * self.layers * rate.squares * self.width
        return 3 * forward * rate.steps_per_second


# Weights: 4 d^2 + 2 d (4 d) a layer.
ENCODERS = {
    "google-bert/bert-base-uncased": Encoder(84_934_656, 12, 768),
    "FacebookAI/roberta-large": Encoder(301_989_888, 24, 1024),
}


# Without a measurement nothing is said of it: its speed is not bound by arithmetic.
_SMALL = {"minilm-l6": Encoder(10_616_832, 6, 384)}


def gpu_hours(cell: Cell, card: Card | None = None) -> float | None:
    """Estimated hours of one GPU, or None where the model's size is not known here.

    Args:
        cell: What is trained, and how.
        card: What was measured of the GPU that it runs on, or None to assume.
    """
    rate = _measured(cell, card)
    encoder = ENCODERS.get(cell.model) or (_SMALL.get(cell.model) if rate is not None else None)
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
    if rate is not None:
        return work / encoder.flops_per_second(rate) / 3600.0
    assumed = FULL_RATE if cell.recipe.train.precision == "fp32" else MIXED_RATE
    return work / assumed / 3600.0


def total_gpu_hours(cells: Iterable[Cell], card: Card | None = None) -> float | None:
    """Sum over cells, or None where one is not known."""
    found = [gpu_hours(cell, card) for cell in cells]
    known = [hours for hours in found if hours is not None]
    return sum(known) if known and len(known) == len(found) else None


def reason(cells: Iterable[Cell], card: Card | None = None) -> str:
    """Where the hours of these cells come from: which rates were measured, and which assumed."""
    if card is None:
        return REASON
    measured = [_measured(cell, card) is not None for cell in cells]
    if not any(measured):
        return f"{REASON}; of {card.name} neither this model nor this precision was measured"
    rate = f"the rate that doctor --gpu measured on {card.name} (torch {card.torch})"
    rest = measured.count(False)
    return f"{_WORK}over {rate}" + (f"; {rest} cells over {_ASSUMED}" if rest else "")


def _measured(cell: Cell, card: Card | None) -> Rate | None:
    """The rate of a cell's own model in its own precision."""
    return None if card is None else card.rate(cell.model, cell.recipe.train.precision)
