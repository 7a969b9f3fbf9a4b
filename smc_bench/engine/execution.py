"""How a cell is run: settings that are no part of its identity. Free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from smc_bench.engine.schedules.durations import ClockTime
from smc_bench.engine.strict import Strict, one_or_many

TrackerName = Literal["wandb", "trackio", "tensorboard", "mlflow"]


class Execution(Strict):
    """How a cell is run, without effect on what it measures beyond the last bits.

    The first attempt fixes these for a cell; later attempts keep them, so that a resumed cell is
    bit-equal to one that was not interrupted.

    Attributes:
        micro_batch: Rows of one forward pass; the effective batch is the recipe's. Null: as many.
        checkpoint_every: Wall time between two checkpoints.
        gradient_checkpointing: Keep only the input of each block, and compute the rest once more
            for the backward pass: much less memory, about a third more time, the same numbers.
        trackers: Where each cell is logged as well as in its folder; those of the newest attempt.
    """

    micro_batch: int | None = Field(None, ge=1)
    checkpoint_every: ClockTime = "600s"
    gradient_checkpointing: bool = False
    trackers: Annotated[tuple[TrackerName, ...], one_or_many] = ()
