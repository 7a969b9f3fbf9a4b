"""Settings of RigL. No torch here."""

from __future__ import annotations

from pydantic import Field

from smc_bench.engine.schedules.durations import Duration
from smc_bench.engine.strict import Strict


class Regrowth(Strict):
    """RigL: weights are dropped and others grown at a constant count (arXiv 1911.11134, alg. 1).

    Every ``every`` up to ``until``, in each tensor the share rate/2 (1 + cos(pi t/T)) of the
    weights that stay is dropped by magnitude and as many are grown by the gradient's, from zero,
    T being ``until``. The defaults are SMC-Bench's: rate 0.5, decay over all of training.

    Attributes:
        every: Length between two updates of the masks.
        rate: Share of the remaining weights that is exchanged at first, 0..1.
        until: Point of training after which the masks stay as they are.
    """

    every: Duration = "500it"
    rate: float = Field(0.5, gt=0.0, lt=1.0)
    until: Duration = "100%"
