"""The lottery ticket's rounds: train, prune, go back to the start (arXiv 1803.03635)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smc_bench.engine.pruning.methods.scored import ScoredPruning
from smc_bench.engine.schedules.sparsity import PruningEvent

if TYPE_CHECKING:
    from smc_bench.engine.pruning.pruner import Pruner


class LotteryTicket(ScoredPruning):
    """After an event that rewinds, weights that stay are what they were before training.

    The optimizer starts anew. An event at the very end of training is not followed by a rewind.
    """

    def __init__(self, pruner: Pruner) -> None:
        """Keep the model as it is before training, where the timeline goes back to it."""
        super().__init__(pruner)
        rewinds = any(event.rewind for event in pruner.timeline.events)
        state = pruner.model.state_dict() if rewinds else {}
        self.initial = {name: tensor.clone() for name, tensor in state.items()}

    def on_event(self, event: PruningEvent) -> None:
        """Update the masks, then go back."""
        super().on_event(event)
        if event.rewind and event.step < self.pruner.last_step:
            self.pruner.model.load_state_dict(self.initial)
            self.pruner.optimizer.state.clear()
            self.pruner.hold()
