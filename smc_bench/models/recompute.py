"""Gradient checkpointing: keep the inputs of blocks alone, and compute the rest a second time."""

from __future__ import annotations

from typing import Any

from smc_bench.errors import ModelError


def recompute_blocks(model: Any) -> None:
    """Let a model compute its blocks again in the backward pass (arXiv 1604.06174), in training.

    torch's variant that is not re-entrant: dropout draws the same once more, autocast is as it
    was, and gradients with respect to some parameters alone may be asked for. In eval mode nothing
    changes.

    Raises:
        ModelError: If transformers has no such thing for this architecture.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ModelError(
            f"execution.gradient_checkpointing: transformers' {type(model).__name__} can't do it: "
            "leave it out, and set execution.micro_batch for less memory"
        )
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # the newer name
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)
