"""Movement pruning: saliency that is learned while training (arXiv 2005.07683, section 4).

Each prunable weight has a score S. The forward pass uses W * M(S); the mask's gradient passes
straight through to the score, dL/dS = dL/dW' * W, and pruned weights, which get no gradient, keep
their value, so that they can come back. Masks are chosen anew every few steps: by rank, so that the
sparsity is the schedule's, or (soft movement) by sigmoid(S) > tau under a penalty
lambda mean sigmoid(S), so that the sparsity is an outcome. tau and lambda rise from 0 as a cubic
schedule of sparsity does, each to its final value (the authors' ``final_threshold`` and
``final_lambda``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.methods.base import PruningMethod, Step
from smc_bench.engine.pruning.pruner import Pruner
from smc_bench.engine.schedules.sparsity import PruningEvent


class Movement(PruningMethod):
    """Scores of the prunable weights, and the values of those that are masked at present."""

    def __init__(self, pruner: Pruner) -> None:
        """All scores are zero at first, as in the authors' code (``mask_init constant``)."""
        super().__init__(pruner)
        self.settings = pruner.recipe.scorer_options
        self.parameters = pruner.parameters
        self.scores = {n: nn.Parameter(torch.zeros_like(p)) for n, p in self.parameters.items()}
        self.dense = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizer = torch.optim.Adam(self.scores.values(), lr=self.settings["score_lr"])

    @property
    def learned(self) -> list[nn.Parameter]:
        """The scores."""
        return list(self.scores.values())

    def on_event(self, event: PruningEvent) -> None:
        """Choose the masks among all weights: what was pruned may come back."""
        self.uncover()
        for sparsity in self.pruner.levels(event):
            self.pruner.set_masks(self.masks_at(sparsity), sparsity)

    @torch.no_grad()
    def masks_at(self, sparsity: float) -> Masks:
        """Masks by the rank of the scores, at a sparsity of the schedule."""
        scores = {name: score.detach() for name, score in self.scores.items()}
        return self.pruner.choose(scores, sparsity, anew=True)

    @torch.no_grad()
    def take_gradients(self, step: Step) -> None:
        """Give the scores their gradients, from the weights' whole ones, and mask those."""
        for name, parameter in self.parameters.items():
            assert parameter.grad is not None
            self.scores[name].grad = self.score_gradient(name, parameter.grad)
        self.pruner.mask_gradients()

    def score_gradient(self, name: str, gradient: Tensor) -> Tensor:
        """dL/dS of one tensor from dL/dW' of the masked weights."""
        return gradient * self.dense[name]

    @torch.no_grad()
    def before_step(self, step: Step) -> None:
        """Move the scores, at the weights' schedule, and hand the optimizer the whole weights."""
        self.uncover()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings["score_lr"] * step.rate_share
        self.optimizer.step()

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Remember what the optimizer made of the weights, then mask them again.

        Masks are chosen anew every ``reselect`` steps.
        """
        for name, parameter in self.parameters.items():
            self.dense[name].copy_(parameter)
        self.pruner.hold()
        if self.pruner.masks and (step.number + 1) % self.settings["reselect"] == 0:
            self.uncover()
            self.pruner.set_masks(self.masks_at(self.pruner.reached), self.pruner.reached)

    @torch.no_grad()
    def uncover(self) -> None:
        """Give every weight its own value back, before masks are chosen anew."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.dense[name])

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold, by a flat name."""
        found: dict[str, Tensor] = {}
        for name, score in self.scores.items():
            found[f"score/{name}"], found[f"dense/{name}"] = score.detach(), self.dense[name]
            for key, value in self.optimizer.state[score].items():
                found[f"score_{key}/{name}"] = torch.as_tensor(value)
        return found

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` gave."""
        for name, score in self.scores.items():
            score.copy_(state[f"score/{name}"])
            self.dense[name].copy_(state[f"dense/{name}"])
            kept = {
                key: state[f"score_{key}/{name}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"score_{key}/{name}" in state
            }
            if kept:
                device = {k: v if k == "step" else v.to(score.device) for k, v in kept.items()}
                self.optimizer.state[score] = device


class SoftMovement(Movement):
    """Masks by a threshold on the scores, under a penalty on them: the sparsity is an outcome."""

    @torch.no_grad()
    def masks_at(self, sparsity: float) -> Masks:
        """Masks when tau has come as far as the sparsity schedule has."""
        limit = self.settings["threshold"] * self.pruner.progress_at(sparsity)
        return {name: score.sigmoid() > limit for name, score in self.scores.items()}

    def score_gradient(self, name: str, gradient: Tensor) -> Tensor:
        """Adds the gradient of the penalty: the mean over tensors of each one's mean sigmoid(S)."""
        score = self.scores[name]
        value = score.sigmoid()
        share = self.pruner.progress_at(self.pruner.reached)
        weight: float = self.settings["penalty"] * share / (score.numel() * len(self.scores))
        return super().score_gradient(name, gradient) + weight * value * (1.0 - value)
