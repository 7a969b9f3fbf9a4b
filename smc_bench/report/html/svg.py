"""Places on a drawing: axes, ticks and paths, in the units of an SVG's view box."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

# Paths of half-width 4 around (0, 0), in the order of ``looks.MARKERS``: o s ^ D v P X.
MARKERS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.4L4.4 3.6H-4.4z",
    "M0-4.8L4.8 0L0 4.8L-4.8 0z",
    "M0 4.4L4.4-3.6H-4.4z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "M-4.5-2.4L-2.4-4.5L0-2.1L2.4-4.5L4.5-2.4L2.1 0L4.5 2.4L2.4 4.5L0 2.1L-2.4 4.5L-4.5 2.4L-2 0z",
)


@dataclass(frozen=True)
class Scale:
    """A line from numbers to places: ``low`` lies at ``start``, ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number, to a tenth of a unit."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def around(values: Iterable[float], pad: float = 0.06) -> tuple[float, float]:
    """The range of the finite ones, a little widened; (0, 1) where there are none."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = (high - low) * pad or max(abs(high) * pad, 1e-3)
    return low - room, high + room


def round_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within a range: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / about
    if not math.isfinite(raw) or raw <= 0.0:
        return []
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= 0.7 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def path(points: Sequence[Point]) -> str:
    """A broken line through points; empty for fewer than two."""
    if len(points) < 2:
        return ""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
