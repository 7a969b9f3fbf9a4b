"""How one cell trained: loss, learning rate and sparsity by step, as its folder holds them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smc_bench.store.record import Record

POINTS = 60
"""Steps that are read of a log at most: a curve on a screen needs no more."""

_LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks?|h)\.(\d+)\.")


@dataclass(frozen=True)
class Step:
    """One logged optimizer step; what was not logged is None."""

    step: int
    loss: float | None
    lr: float | None
    sparsity: float | None


def steps(path: Path, most: int = POINTS) -> list[Step]:
    """At most so many steps of a ``train.jsonl``, evenly spread, with the first and the last.

    Steps that were taken again after an interruption count as they were taken last. Lines that
    can't be read are left out: a log is not worth a report.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    last = len(lines) - 1
    chosen = lines
    if last >= most:
        chosen = [lines[round(i * last / (most - 1))] for i in range(most)]
    found: list[Step] = []
    for line in chosen:
        step = _step(line)
        if step is None:
            continue
        while found and found[-1].step >= step.step:
            found.pop()
        found.append(step)
    return found


def _step(line: bytes) -> Step | None:
    try:
        content = json.loads(line)
        if content.get("phase", "train") != "train":
            return None
        numbers = (content.get(key) for key in ("loss", "lr", "sparsity"))
        values = [None if number is None else float(number) for number in numbers]
        if not all(value is None or math.isfinite(value) for value in values):
            return None
        return Step(int(content["step"]), *values)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


@dataclass(frozen=True)
class Share:
    """Weights of one layer, or of a tensor outside all layers."""

    name: str
    left: int
    total: int

    @property
    def sparsity(self) -> float:
        """Share of zeros, 0..1."""
        return 1.0 - self.left / self.total if self.total else 0.0


def by_layer(record: Record) -> list[Share]:
    """Weights left of each layer (its prunable tensors together) and of each tensor outside."""
    found: dict[str, tuple[int, int]] = {}
    for tensor, (left, total) in record.weights_left.items():
        match = _LAYER.search(tensor)
        name = f"layer {match[1]}" if match else tensor.removesuffix(".weight")
        before = found.get(name, (0, 0))
        found[name] = (before[0] + left, before[1] + total)
    return [Share(name, *counts) for name, counts in found.items()]


def reached(events: Sequence[dict[str, float]], total: int) -> list[tuple[float, float]]:
    """Corners of the sparsity of the scope over the steps of training, from (0, 0) on."""
    corners, level = [(0.0, 0.0)], 0.0
    for event in events:
        step = event["step"]
        corners.append((step, level))
        level = event.get("scope", event.get("measured", event.get("target", level)))
        corners.append((step, level))
    return [*corners, (float(total), level)]
