"""Paths through a head, against a count by enumeration and against autograd."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.components import component_map
from smc_bench.models.head_paths import head_paths
from tests.helpers.architectures import tiny_model

HEAD = "sequence_classification"


def _head(model: Any) -> list[str]:
    return [n for n, part in component_map(model).prunable.items() if part == "head"]


def _thin(model: Any, share: float, seed: int) -> dict[str, Tensor]:
    """Leave each weight of the head with this probability."""
    generator = torch.Generator().manual_seed(seed)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name in _head(model):
            kept = torch.rand(weights[name].shape, generator=generator) < share
            weights[name].mul_(kept)
    return weights


def _depends(model: Any, first: str) -> bool:
    """Whether any logit has a gradient with respect to what the head's first layer takes."""
    taken: list[Tensor] = []

    def replace(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        taken.append(torch.randn_like(inputs[0]).requires_grad_())
        return (taken[0],)

    handle = model.get_submodule(first).register_forward_pre_hook(replace)
    ids = torch.tensor([[2, 5, 9, 7, 3]])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    handle.remove()
    (gradient,) = torch.autograd.grad(logits.pow(2).sum() + logits.sum(), taken[0])
    return bool((gradient != 0).any())


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_no_path_is_no_gradient(kind: str) -> None:
    answers = set()
    for seed, share in product(range(4), (0.004, 0.02, 0.1)):
        model = tiny_model(kind, HEAD)
        weights = _thin(model, share, seed)
        found = head_paths(model, weights)
        if found is None:
            assert kind == "modernbert", "only its head has a norm among its layers"
            return
        assert (found[0] > 0) == _depends(model, _head(model)[0].removesuffix(".weight"))
        answers.add(found[0] > 0)
    assert answers == {True, False}, "both cases have to occur"


def test_paths_are_counted_one_by_one() -> None:
    model = tiny_model("bert", HEAD, labels=3)
    weights = _thin(model, 0.2, 5)
    pooler, classifier = (weights[name] for name in _head(model))
    by_hand = sum(
        bool(pooler[unit, taken] != 0) and bool(classifier[label, unit] != 0)
        for unit, taken, label in product(range(32), range(32), range(3))
    )
    assert head_paths(model, weights) == (by_hand, 32 * 32 * 3)


def test_every_layer_may_have_weights_and_no_path_lead_through() -> None:
    model = tiny_model("bert", HEAD, labels=2)
    weights = dict(model.named_parameters())
    pooler, classifier = (weights[name] for name in _head(model))
    with torch.no_grad():
        pooler[1:] = 0.0
        classifier[:, 0] = 0.0
    assert head_paths(model, weights) == (0, 32 * 32 * 2)
    with torch.no_grad():
        classifier[1, 0] = 1.0
    assert head_paths(model, weights) == (32, 32 * 32 * 2)
