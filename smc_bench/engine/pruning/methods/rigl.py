"""RigL: drop by magnitude, grow by gradient, at one count (arXiv 1911.11134, algorithm 1).

Sparsity here is a count of connections, not of values. A connection that is grown starts from zero
(section 3 of the paper), and where its gradient stays zero, as that of a token which no batch has,
it is zero to the end. The paper's algorithm takes the k steepest whatever their slope, and so does
the authors' code; so weights that can't move are grown here too, where no others are left, and the
audit does not take their zeros for a fault (:func:`unmoved`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from smc_bench.engine.pruning.masks import Masks, lowest
from smc_bench.engine.pruning.methods.base import Step
from smc_bench.engine.pruning.methods.scored import ScoredPruning
from smc_bench.engine.pruning.pruner import Pruner
from smc_bench.engine.recipe import Regrowth
from smc_bench.engine.schedules.durations import to_steps
from smc_bench.engine.schedules.sparsity import Timeline


@dataclass(frozen=True)
class RegrowthPlan:
    """Regrowth in optimizer steps.

    Attributes:
        every: Steps between two updates.
        until: Step from which on nothing changes any more.
        rate: Share of the weights that stay which the first update exchanges.
    """

    every: int
    until: int
    rate: float

    @classmethod
    def of(cls, settings: Regrowth, timeline: Timeline) -> RegrowthPlan:
        """Spell durations out in steps."""
        lengths = (timeline.steps_per_epoch, timeline.total_steps)
        every = to_steps(settings.every, *lengths)
        return cls(every, to_steps(settings.until, *lengths), settings.rate)

    def share(self, step: int) -> float:
        """Share to exchange at ``step``: rate/2 (1 + cos(pi step/until)), or 0 if none is due."""
        if step == 0 or step % self.every or step >= self.until:
            return 0.0
        return self.rate / 2.0 * (1.0 + math.cos(math.pi * step / self.until))


class RigL(ScoredPruning):
    """Prunes once by the recipe's scorer, then exchanges weights every few steps."""

    def __init__(self, pruner: Pruner) -> None:
        """Spell the recipe's ``regrowth`` out in steps."""
        super().__init__(pruner)
        assert pruner.recipe.regrowth is not None
        self.plan = RegrowthPlan.of(pruner.recipe.regrowth, pruner.timeline)

    def replaces_step(self, step: Step) -> bool:
        """Exchange weights if that is due; the optimizer's step is then left out.

        Weights that are new have no moments yet.
        """
        pruner = self.pruner
        share = self.plan.share(step.number) if pruner.masks else 0.0
        if share == 0.0:
            return False
        old, new = pruner.masks, regrow(pruner.parameters, pruner.masks, share)
        for name, mask in new.items():
            state = step.optimizer.state.get(pruner.parameters[name], {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    state[moment].masked_fill_(mask & ~old[name], 0.0)
        pruner.set_masks(new, pruner.reached)
        return True

    def natural_zeros(self, optimizer: torch.optim.Optimizer) -> int | None:
        """Weights that no gradient has moved, since they were grown or at all."""
        return unmoved(self.pruner.parameters, self.pruner.masks, optimizer)


@torch.no_grad()
def unmoved(
    parameters: Mapping[str, nn.Parameter], masks: Masks, optimizer: torch.optim.Optimizer
) -> int:
    """Weights that stay, are zero, and have had no gradient since they were grown, or at all.

    What is grown has its moments set to zero; the second one is a sum of squares, and so is zero
    for as long as no gradient came.

    Args:
        parameters: Masked weights.
        masks: Masks in force (True: stays).
        optimizer: Adam over the parameters.
    """
    count = 0
    for name, mask in masks.items():
        still = (parameters[name] == 0) & mask
        moment = optimizer.state.get(parameters[name], {}).get("exp_avg_sq")
        count += int((still if moment is None else still & (moment == 0)).sum())
    return count


@torch.no_grad()
def regrow(parameters: Mapping[str, nn.Parameter], masks: Masks, share: float) -> Masks:
    """New masks with as many weights in each tensor; weights that are new start from zero.

    Args:
        parameters: Masked weights, each with the gradient of the step (also where it is masked).
        masks: Masks in force (True: stays).
        share: Share of the weights that stay to be exchanged.
    """
    new: Masks = {}
    for name, mask in masks.items():
        weight, gradient = parameters[name], parameters[name].grad
        assert gradient is not None
        flat = mask.flatten()
        count = int(share * int(flat.sum()))
        infinite = float("inf")
        dropped, _ = lowest(weight.detach().abs().flatten().masked_fill(~flat, infinite), count)
        kept = flat & ~dropped
        # What was dropped may grow again, as in the authors' code; it then keeps its value.
        grown, _ = lowest(-gradient.abs().flatten().masked_fill(kept, -infinite), count)
        new[name] = (kept | grown).view_as(mask)
    return new
