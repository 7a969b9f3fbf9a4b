"""Sparsities of the events of a schedule, as plain formulas. No torch."""

from __future__ import annotations

import math

from smc_bench.engine.schedules.timeline import check_count


def scaled_levels(
    target: float, initial: float, removes: float, paced_from: float | None = None
) -> tuple[float, ...]:
    """Sparsity after each event when an event removes at most ``removes`` of what is left.

    The first event goes to ``initial`` (or at once to a target below it); k more follow, with
    k the least number for which equal shares stay within ``removes``, counted from ``paced_from``
    where that is given: s_i = 1 - (1 - s0) ((1 - sf)/(1 - s0))^(i/k). Three events for 0.8, five
    for 0.9 and eight for 0.97 with s0 = 0.7 and removes = 0.3. The formula is this project's, not
    the paper's.
    """
    count = _events_after_first(target, initial if paced_from is None else paced_from, removes)
    if count == 0:
        return (target,)
    check_count(count, "removes")
    start = min(initial, target)
    ratio = (1.0 - target) / (1.0 - start)
    levels = [1.0 - (1.0 - start) * ratio ** (i / count) for i in range(count)]
    return (*levels, target)


def _events_after_first(target: float, start: float, removes: float) -> int:
    if target <= start:
        return 0
    ratio = (1.0 - target) / (1.0 - start)
    # The tolerance keeps exact powers such as 0.7 * 0.7 from needing one event more by rounding.
    return max(1, math.ceil(math.log(ratio) / math.log(1.0 - removes) - 1e-9))


def rounds_to(target: float, removes: float) -> int:
    """Least number of rounds that come to a target when each removes ``removes`` of what is left.

    Targets are published rounded, not always to the nearest: SMC-Bench's .738, .791, .8325, .866
    and .893 lie above the levels 1 - 0.8^k that they stand for, by up to 0.016 of a round. So the
    last round may remove a little more: what a fiftieth of another round would, 20.4 % for 20 %.

    Args:
        target: Sparsity to come to, 0..1.
        removes: Share of the remaining weights, between 0 and 1.
    """
    return max(1, math.ceil(math.log(1.0 - target) / math.log(1.0 - removes) - _FIFTIETH))


_FIFTIETH = 0.02


def ramp_level(initial: float, target: float, exponent: int, x: float) -> float:
    """Sparsity at progress ``x`` in 0..1 of a ramp (arXiv 1710.01878, eq. 1, with exponent 3)."""
    # max(): a target below the initial step is reached at once and kept.
    initial = min(initial, target)
    return target + (initial - target) * (1.0 - x) ** exponent
