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
from typing import Any

import torch
from torch import Tensor, nn

from smc_bench.engine.pruning.masks import Masks, apply_masks


class MovementScores:
    """Scores of the prunable weights, and the values of those that are masked at present."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], options: Mapping[str, Any]) -> None:
        """All scores are zero at first, as in the authors' code (``mask_init constant``)."""
        self.parameters, self.options = parameters, options
        self.scores = {n: nn.Parameter(torch.zeros_like(p)) for n, p in parameters.items()}
        self.dense = {name: p.detach().clone() for name, p in parameters.items()}
        self.optimizer = torch.optim.Adam(self.scores.values(), lr=options["score_lr"])

    @property
    def every(self) -> int:
        """Optimizer steps between two choices of the masks."""
        return int(self.options["reselect"])

    @property
    def soft(self) -> bool:
        """Whether masks follow from a threshold on the scores instead of their rank."""
        return "penalty" in self.options

    @torch.no_grad()
    def over_threshold(self, share: float) -> Masks:
        """Masks of soft movement when tau has come to ``share`` (0..1) of its final value."""
        limit = self.options["threshold"] * share
        return {name: score.sigmoid() > limit for name, score in self.scores.items()}

    @torch.no_grad()
    def take_gradients(self, masks: Masks, share: float) -> None:
        """Give the scores their gradients, from the weights' whole ones, and mask those.

        Args:
            masks: Masks of the forward pass just taken.
            share: How far the sparsity schedule has come, 0..1.
        """
        for name, parameter in self.parameters.items():
            assert parameter.grad is not None
            score = self.scores[name]
            score.grad = parameter.grad * self.dense[name]
            if self.soft:
                # The penalty is the mean over tensors of each one's mean of sigmoid(S).
                value = score.sigmoid()
                weight = self.options["penalty"] * share / (score.numel() * len(self.scores))
                score.grad += weight * value * (1.0 - value)
            if name in masks:
                parameter.grad.mul_(masks[name])

    @torch.no_grad()
    def before_step(self, rate_share: float) -> None:
        """Move the scores, and hand the optimizer the whole weights.

        Args:
            rate_share: Learning rate over its peak; scores follow the weights' schedule.
        """
        self.uncover()
        for group in self.optimizer.param_groups:
            group["lr"] = self.options["score_lr"] * rate_share
        self.optimizer.step()

    @torch.no_grad()
    def after_step(self, masks: Masks) -> None:
        """Remember what the optimizer made of the weights, then mask them again."""
        for name, parameter in self.parameters.items():
            self.dense[name].copy_(parameter)
        apply_masks(self.parameters, masks)

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
