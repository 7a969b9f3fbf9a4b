"""How many weights each tensor has left after each pruning event: ``layers.json.gz``.

The masks of one event say where pruning has struck, which a share over the whole scope does not.
Kept are at most :data:`EVENTS` events, evenly spaced over the schedule, always with the first and
the last: which they are follows from the timeline alone, so a resumed cell keeps the same ones.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smc_bench.engine.pruning.masks import Masks

FILE = "layers.json.gz"
EVENTS = 256
"""Events that are kept at most (a model of 150 tensors then needs about 150 KiB)."""


def kept_steps(steps: Sequence[int]) -> frozenset[int]:
    """Steps of the events that are kept, of all steps at which there is one."""
    if len(steps) <= EVENTS:
        return frozenset(steps)
    last = len(steps) - 1
    return frozenset(steps[round(i * last / (EVENTS - 1))] for i in range(EVENTS))


class LayerHistory:
    """Counts of one training, in the order of the scope's tensors."""

    def __init__(self, totals: Mapping[str, int], steps: Sequence[int]) -> None:
        """Nothing is pruned yet.

        Args:
            totals: Weights of each tensor in scope.
            steps: Steps of all events to come.
        """
        self.totals = dict(totals)
        self._steps = kept_steps(steps)
        self._events: list[dict[str, Any]] = []

    def note(self, step: int, target: float, masks: Masks) -> None:
        """Count what an event has left."""
        if step in self._steps:
            left = [
                int(masks[name].sum()) if name in masks else n for name, n in self.totals.items()
            ]
            self._events.append({"step": step, "target": target, "left": left})

    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps, as JSON."""
        return self._events

    def load(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        self._events = [dict(event) for event in state]

    def content(self) -> dict[str, Any]:
        """Totals by tensor, and of each kept event what is left of each, by name."""
        events = [
            {**event, "left": dict(zip(self.totals, event["left"], strict=True))}
            for event in self._events
        ]
        return {"tensors": self.totals, "events": events}

    def write(self, path: Path) -> None:
        """Write the content, compressed; equal content gives equal bytes."""
        path.write_bytes(gzip.compress(json.dumps(self.content()).encode(), mtime=0))
