"""Where a running cell is, from the end of the ``train.jsonl`` that its worker writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAIL = 8192


@dataclass(frozen=True)
class Seen:
    """The newest progress line of a cell.

    Attributes:
        phase: ``train``, ``score`` (a pruning event), ``evaluate`` and others.
        step: Steps, or chunks of the phase, that are done.
        total: Of how many.
        loss: Training loss of the step.
        lr: Learning rate of the step.
        sparsity: Target sparsity at the step, 0..1.
        pace: Seconds a step over the last lines of this phase, or None while there is only one.
    """

    phase: str
    step: float
    total: float
    loss: float | None = None
    lr: float | None = None
    sparsity: float | None = None
    pace: float | None = None

    @property
    def share(self) -> float:
        """How much of the phase is done, 0..1."""
        return min(1.0, self.step / self.total) if self.total > 0 else 1.0


def progress_of(path: Path) -> Seen | None:
    """What the newest complete line of a ``train.jsonl`` says; None where it says nothing."""
    lines = _last_lines(path)
    last = _parsed(lines[-1]) if lines else None
    if last is None:
        return None  # nothing yet, or a line that a full disk has torn
    seen, attempt, time = last
    first = None
    for line in reversed(lines[:-1]):
        parsed = _parsed(line)
        if parsed is None or (parsed[0].phase, parsed[1]) != (seen.phase, attempt):
            break
        first = parsed
    if first is None or seen.step <= first[0].step or time <= first[2]:
        return seen
    pace = (time - first[2]) / (seen.step - first[0].step)
    return Seen(seen.phase, seen.step, seen.total, seen.loss, seen.lr, seen.sparsity, pace)


def _last_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            cut = max(0, file.tell() - _TAIL)
            file.seek(cut)
            lines = file.read().decode(errors="replace").strip().split("\n")
    except OSError:
        return []
    return lines[1:] if cut else lines


def _parsed(line: str) -> tuple[Seen, object, float] | None:
    """A line's progress, attempt and time."""
    try:
        content: dict[str, Any] = json.loads(line)
        numbers = {key: content.get(key) for key in ("loss", "lr", "sparsity")}
        optional = {k: None if v is None else float(v) for k, v in numbers.items()}
        step, total = float(content["step"]), float(content["total"])
        seen = Seen(str(content["phase"]), step, total, **optional)
        return seen, content.get("attempt"), float(content.get("time", 0.0))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
