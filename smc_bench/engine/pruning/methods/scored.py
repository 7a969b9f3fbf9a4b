"""Gradual or one-shot pruning with a scorer: score the weights, prune the least salient ones."""

from __future__ import annotations

from smc_bench.engine.pruning.methods.base import PruningMethod
from smc_bench.engine.schedules.sparsity import PruningEvent


class ScoredPruning(PruningMethod):
    """At each event the least salient weights of the scope go; what is pruned stays pruned."""

    def on_event(self, event: PruningEvent) -> None:
        """Update the masks, in as many slices as the recipe recomputes the saliency."""
        for sparsity in self.pruner.levels(event):
            self.update_masks(event.step, sparsity)

    def update_masks(self, step: int, sparsity: float) -> None:
        """Score the weights that are left and prune to ``sparsity``."""
        scored = self.pruner.score(step)
        masks = self.pruner.choose(scored.saliency, sparsity)
        self.pruner.set_masks(masks, sparsity, scored.compensate)
