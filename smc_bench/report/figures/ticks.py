"""Which ticks of an axis are named: as many as can be read side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence


def sparse(places: Sequence[float], widths: Sequence[float]) -> list[bool]:
    """Which of some centred labels, in the order of their places, can be read side by side.

    The last one always; then from the last to the first those that touch none shown so far.
    """
    shown = [False] * len(places)
    edge = math.inf
    for k in sorted(range(len(places)), key=lambda at: -places[at]):
        if places[k] + widths[k] / 2.0 <= edge:
            shown[k], edge = True, places[k] - widths[k] / 2.0
    return shown
