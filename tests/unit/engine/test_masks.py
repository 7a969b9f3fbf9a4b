from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import prune

from smc_bench.engine.pruning.masks import apply_masks, update_masks, update_masks_by_part
from smc_bench.engine.pruning.targets import pruned_count
from smc_bench.errors import DivergedError


def weights(seed: int = 0, ties: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    found = {"a": torch.randn(7, 5), "b": torch.randn(4, 9)}
    return {k: (v * 2).round() for k, v in found.items()} if ties else found


def dense(like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in like.items()}


@given(sparsity=st.floats(0.0, 0.999), seed=st.integers(0, 50), ties=st.booleans())
@settings(deadline=None, max_examples=60)
def test_global_count_is_exact_and_only_the_least_go(
    sparsity: float, seed: int, ties: bool
) -> None:
    saliency = {k: w.abs() for k, w in weights(seed, ties).items()}
    masks = update_masks(saliency, dense(saliency), sparsity)
    flat = torch.cat([s.flatten() for s in saliency.values()])
    kept = torch.cat([m.flatten() for m in masks.values()])
    assert int((~kept).sum()) == pruned_count(flat.numel(), sparsity)
    if kept.any() and (~kept).any():
        assert flat[~kept].max() <= flat[kept].min()


@given(first=st.floats(0.1, 0.5), second=st.floats(0.5, 0.95), seed=st.integers(0, 20))
@settings(deadline=None, max_examples=40)
def test_what_is_pruned_stays_pruned(first: float, second: float, seed: int) -> None:
    before = update_masks({k: w.abs() for k, w in weights(seed).items()}, dense(weights()), first)
    after = update_masks({k: w.abs() for k, w in weights(seed + 99).items()}, before, second)
    assert all(bool((~after[k][~before[k]]).all()) for k in before)


def test_global_magnitude_equals_torch_prune() -> None:
    ours = weights(3)
    layers = {k: torch.nn.Linear(w.shape[1], w.shape[0]) for k, w in ours.items()}
    for name, layer in layers.items():
        layer.weight.data.copy_(ours[name])
    prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()], prune.L1Unstructured, amount=0.6
    )
    masks = update_masks({k: w.abs() for k, w in ours.items()}, dense(ours), 0.6)
    for name, layer in layers.items():
        assert torch.equal(masks[name], layer.weight_mask.bool())


def test_per_layer_counts() -> None:
    saliency = {k: w.abs() for k, w in weights().items()}
    masks = update_masks(saliency, dense(saliency), 0.5, "per_layer")
    assert {k: int((~m).sum()) for k, m in masks.items()} == {"a": 18, "b": 18}


def test_part_reaches_its_target_and_the_rest_falls_with_it() -> None:
    saliency = {k: w.abs() for k, w in weights().items()}
    masks = update_masks_by_part(saliency, dense(saliency), 0.5, ["a"])
    limit = saliency["a"][~masks["a"]].max()
    assert int((~masks["a"]).sum()) == 18
    assert torch.equal(~masks["b"], saliency["b"] < limit)


def test_saliency_that_is_not_a_number_is_an_error() -> None:
    saliency = {"a": torch.full((7, 5), float("nan")), "b": torch.ones(4, 9)}
    with pytest.raises(DivergedError, match="saliency of a"):
        update_masks(saliency, dense(weights()), 0.5)


def test_masks_set_exact_zeros() -> None:
    parameter = torch.nn.Parameter(torch.full((4,), float("inf")))
    mask = torch.tensor([True, False, True, False])
    apply_masks({"p": parameter}, {"p": mask})
    assert parameter[~mask].tolist() == [0.0, 0.0]
