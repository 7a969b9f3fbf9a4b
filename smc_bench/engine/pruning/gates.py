"""Derivatives of each row's loss with respect to gates on units.

A gate xi_S scales what a unit S puts out, and is 1. With a the input of the projection that reads
S, dL_x/dxi_S is the sum over the tokens of row x, and the features of S, of a times dL_x/da: one
forward and one backward pass for all units and rows. Packed batches are summed by sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from smc_bench.engine.loss.losses import total_loss
from smc_bench.engine.loss.model_inputs import Batch
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.models.layout import Layout


def gate_gradients(
    objective: Objective, units: ModelUnits, chosen: Sequence[int]
) -> dict[str, Tensor]:
    """dL_x/dxi_S of the task's own loss L_x of each row, (rows, count) by group, in float32.

    A layer's one gate is on both of its outputs. A row of several sequences (choices) has one
    derivative.

    Args:
        objective: Model and loss.
        units: Whose gates.
        chosen: Rows of the batch.
    """
    model, batch = objective.model, objective.batch(chosen)
    readers = {
        part.tensor: model.get_submodule(part.tensor.rpartition(".")[0])
        for group in units.by_name.values()
        for part in group.outputs
    }
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_pre_hook(_keep(seen, name)) for name, module in readers.items()
    ]
    # Somebody's autocast would reach the backward pass too.
    with torch.enable_grad(), torch.autocast(model.device.type, enabled=False):
        try:
            heads = objective.feed.heads(batch, autocast=False)
        finally:
            for handle in handles:
                handle.remove()
        loss = total_loss(heads, batch.targets, None, None)
        gradients = torch.autograd.grad(loss, list(seen.values()))
    # The loss is the mean over rows (or tokens), what is wanted is each row's own.
    counts = batch.counts or (1,) * batch.rows
    shares = [sum(counts) / count for count in counts]
    products = {
        name: _by_row(inputs.detach() * gradient, batch) * gradient.new_tensor(shares)[:, None]
        for (name, inputs), gradient in zip(seen.items(), gradients, strict=True)
    }
    found = {}
    for name, group in units.by_name.items():
        parts = [
            products[part.tensor]
            .narrow(1, part.start, group.count * (part.stop - part.start))
            .reshape(batch.rows, group.count, -1)
            .sum(2)
            for part in group.outputs
        ]
        found[name] = torch.stack(parts).sum(0)
    return found


def _keep(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[name] = inputs[0]

    return hook


def _by_row(values: Tensor, batch: Batch) -> Tensor:
    """Sums over the tokens of each row, (rows, features)."""
    layout = batch.inputs.get("layout")
    if isinstance(layout, Layout):
        flat = values.reshape(-1, values.shape[-1])
        sums = torch.stack([part.sum(0) for part in torch.split(flat, list(layout.lengths))])
    else:
        sums = values.reshape(len(batch.real), -1, values.shape[-1]).sum(1)
    return sums.view(batch.rows, -1, values.shape[-1]).sum(1)
