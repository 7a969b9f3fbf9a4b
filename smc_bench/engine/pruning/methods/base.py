"""What a pruning method is: it chooses masks at events, and may act at every step of training.

No torch is loaded here, so that a file that registers a method can be read when planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smc_bench.engine.schedules.sparsity import PruningEvent

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from smc_bench.engine.pruning.pruner import Pruner


@dataclass(frozen=True)
class Step:
    """One optimizer step, as a method sees it.

    Attributes:
        number: Counted from 0.
        rate_share: Learning rate of this step over its peak.
        mask_gradients: Whether gradients of pruned weights must be zero before clipping.
        optimizer: AdamW over all parameters of the model.
    """

    number: int
    rate_share: float
    mask_gradients: bool
    optimizer: Optimizer


class PruningMethod:
    """Base of all methods. Every process of a group makes the same calls, in this order.

    At a pruning event: :meth:`on_event`. At each step, once gradients are whole, finite and not yet
    clipped: :meth:`replaces_step`, :meth:`take_gradients`, :meth:`before_step`, the optimizer's
    step, :meth:`after_step`. A method changes masks by :meth:`Pruner.set_masks`. Randomness must
    follow from :func:`smc_bench.engine.seeding.derived_seed` with the step, so that a resumed cell
    has the same bits.
    """

    def __init__(self, pruner: Pruner) -> None:
        """Begin before the first step; a checkpoint is loaded after this.

        Args:
            pruner: Weights in scope, their masks, the recipe, and how masks are chosen.
        """
        self.pruner = pruner

    @property
    def options(self) -> Mapping[str, Any]:
        """The recipe's ``method_options``, checked and complete."""
        return self.pruner.recipe.method_options

    @property
    def learned(self) -> list[nn.Parameter]:
        """Parameters of the method's own whose gradients count when gradients are clipped."""
        return []

    def on_event(self, event: PruningEvent) -> None:
        """Bring the masks to ``event.sparsity``; no step of training is under way."""
        raise NotImplementedError

    def replaces_step(self, step: Step) -> bool:
        """Act on whole gradients; True leaves out the optimizer's step."""
        return False

    def take_gradients(self, step: Step) -> None:
        """Use or change the gradients, also of pruned weights, before they are clipped."""
        if step.mask_gradients:
            self.pruner.mask_gradients()

    def before_step(self, step: Step) -> None:
        """Right before the optimizer's step, after clipping."""

    def after_step(self, step: Step) -> None:
        """After the optimizer's step: pruned weights must be zero when this returns."""
        self.pruner.hold()

    def natural_zeros(self, optimizer: Optimizer) -> int | None:
        """Weights that stay and may be zero; None: as many as there were before training."""
        return None

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint must hold beside the masks, by flat names."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` gave."""
