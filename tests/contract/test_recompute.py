"""Gradient checkpointing changes no number, for every row of the table of architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.objective import Objective
from smc_bench.errors import ModelError
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.recompute import recompute_blocks
from smc_bench.tasks.base import Feature
from tests.helpers.architectures import tiny_model

FEATURES: list[Feature] = [
    {"input_ids": [2, *range(5, 5 + n), 3], "label": n % 2, "example": n} for n in (1, 4, 9, 17)
]


def _dropout(model: Any) -> Any:
    """Dropout wherever the architecture has some, in modules and in attention."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
        for name in ("attention_dropout", "dropout_prob", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.3)
    return model.double().train()


def _gradients(model: Any, padding: str) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Loss, gradients, and bytes that were kept for the backward pass."""
    kept = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    feed = Feed(model, "sequence_classification", 0, padding=padding)  # type: ignore[arg-type]
    torch.manual_seed(5)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = Objective(feed, FEATURES).task_loss(range(len(FEATURES)))
        size = sum(kept.values())
    loss.backward()
    named = model.named_parameters()
    return loss.detach(), {n: p.grad for n, p in named if p.grad is not None}, size


# transformers has it for all architectures but these.
WITHOUT = ("albert", "mpnet")


@pytest.mark.parametrize("padding", ["none", "dynamic"])
@pytest.mark.parametrize("kind", [kind for kind in sorted(ARCHITECTURES) if kind not in WITHOUT])
def test_gradients_are_equal_with_dropout(kind: str, padding: str) -> None:
    plain = _dropout(tiny_model(kind, "sequence_classification", 2))
    again = _dropout(tiny_model(kind, "sequence_classification", 2))
    recompute_blocks(again)
    loss, gradients, size = _gradients(plain, padding)
    loss_again, gradients_again, size_again = _gradients(again, padding)
    assert torch.equal(loss, loss_again)
    assert gradients.keys() == gradients_again.keys()
    for name, gradient in gradients.items():
        assert torch.isfinite(gradient).all(), name
        torch.testing.assert_close(gradients_again[name], gradient, rtol=1e-12, atol=1e-14)
    assert size_again < size  # it does what it is for
    # Dropout was on: without it the loss is another.
    assert not torch.equal(loss, _gradients(plain.eval(), padding)[0])


@pytest.mark.parametrize("kind", WITHOUT)
def test_a_model_that_can_not_is_refused(kind: str) -> None:
    model = tiny_model(kind, "sequence_classification", 2)
    with pytest.raises(ModelError, match=r"execution\.gradient_checkpointing: .*leave it out"):
        recompute_blocks(model)
