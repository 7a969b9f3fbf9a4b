"""Loss scaling for fp16: gradients are unscaled once a step, and one verdict on them holds for all.

Gradients in fp16 overflow now and then. Everything that looks at gradients or moves by them
(clipping, regrowth, learned scores, the optimizer) comes after :meth:`LossScaling.unscale` and only
where that found them finite; a step with an overflow changes nothing but the scale. Hence neither
``GradScaler.step`` (which knows one optimizer only, and calls a fused one whatever it has found)
nor accelerate's clipping (which unscales by itself).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from smc_bench.errors import DivergedError

LEAST_SCALE = 1e-4
"""Below it training has diverged: fairseq's ``--min-loss-scale``."""


class LossScaling:
    """Scales a loss and takes the scale out of its gradients; without a scaler it does nothing."""

    def __init__(self, scaler: torch.amp.GradScaler | None = None) -> None:
        """Wrap torch's scaler, or None where the precision needs none."""
        self.scaler = scaler

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: torch.optim.Optimizer) -> bool:
        """Divide the gradients by the scale, once a step.

        Returns:
            Whether the step is to be taken: False where a gradient is not finite.

        Raises:
            DivergedError: If they are not finite however small the scale is.
        """
        if self.scaler is None:
            return True
        self.scaler.unscale_(optimizer)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        finite = [g.isfinite().all() for g in gradients if g is not None]
        if bool(torch.stack(finite).all()):
            return True
        if self.scaler.get_scale() < LEAST_SCALE:
            raise DivergedError(
                f"gradients in fp16 are not finite at a loss scale below {LEAST_SCALE:g}: a lower "
                "learning rate or precision: bf16 may help"
            )
        return False

    def update(self) -> None:
        """Adapt the scale, at the end of a step (also of one that was not taken)."""
        if self.scaler is not None:
            self.scaler.update()

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint must hold, as JSON."""
        return None if self.scaler is None else self.scaler.state_dict()

    def load(self, state: dict[str, Any] | None) -> None:
        """Restore what :meth:`state` gave."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)
