from __future__ import annotations

import pytest
import torch

from smc_bench.engine.pruning.masks import update_masks
from smc_bench.engine.pruning.structures import checked, kept_of
from smc_bench.engine.recipe import Recipe


def saliency() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"a": torch.rand(6, 8), "b": torch.rand(4, 16)}


def dense(like):
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in like.items()}


def test_pattern_keeps_the_n_most_salient_of_each_m() -> None:
    scores = saliency()
    masks = update_masks(scores, dense(scores), 0.5, structure="2:4")
    for name, mask in masks.items():
        for values, kept in zip(scores[name].reshape(-1, 4), mask.reshape(-1, 4), strict=True):
            best = set(values.topk(2).indices.tolist())
            assert set(kept.nonzero().flatten().tolist()) == best


def test_blocks_of_four_go_together() -> None:
    scores = {n: s[:, ::4].repeat_interleave(4, dim=1) for n, s in saliency().items()}
    masks = update_masks(scores, dense(scores), 0.5, structure="block4")
    groups = torch.cat([m.reshape(-1, 4).float() for m in masks.values()])
    assert set(groups.mean(1).tolist()) == {0.0, 1.0}
    assert int((groups.mean(1) == 0).sum()) == len(groups) // 2


@pytest.mark.parametrize("threshold", ["global", "per_layer", "per_row"])
def test_a_block_is_worth_what_its_weights_are_worth_together(threshold: str) -> None:
    # The first of a block is small where the block is large: it must not stand for all.
    scores = {
        n: s * torch.tensor([0.01, 3, 3, 3] * (s.shape[1] // 4)) for n, s in saliency().items()
    }
    masks = update_masks(scores, dense(scores), 0.5, threshold, "block4")  # type: ignore[arg-type]
    sums = {n: s.reshape(-1, 4).sum(1).reshape(len(s), -1) for n, s in scores.items()}
    kept = {n: m.reshape(-1, 4)[:, 0].reshape(len(m), -1) for n, m in masks.items()}
    for mask in masks.values():
        assert set(mask.reshape(-1, 4).float().mean(1).tolist()) == {0.0, 1.0}
    compared = {
        "global": [
            (
                torch.cat([k.flatten() for k in kept.values()]),
                torch.cat([s.flatten() for s in sums.values()]),
            )
        ],
        "per_layer": [(kept[n].flatten(), sums[n].flatten()) for n in kept],
        "per_row": [pair for n in kept for pair in zip(kept[n], sums[n], strict=True)],
    }[threshold]
    for stays, worth in compared:
        assert int(stays.sum()) == len(worth) // 2
        assert worth[stays].min() > worth[~stays].max()


def one_shot(**changes: object) -> dict[str, object]:
    return {
        "sparsity_schedule": {"kind": "one_shot", "at": "0it"},
        "lr_schedule": {"kind": "constant", "peak": 1e-4},
        "train": {"duration": "4it"},
        **changes,
    }


@pytest.mark.parametrize("structure", ["block4", "2:4"])
def test_regrowth_would_break_a_structure(structure: str) -> None:
    with pytest.raises(ValueError, match="regrowth exchanges single weights"):
        Recipe.model_validate(one_shot(structure=structure, regrowth={"every": "2it"}))


def test_a_pattern_does_not_spread_zeros_over_a_scope() -> None:
    settings = one_shot(structure="2:4", sparsity_over="encoder_zeros")
    Recipe.model_validate(settings)  # over the encoder alone both say the same
    with pytest.raises(ValueError, match="use one of them"):
        Recipe.model_validate(settings | {"scope": ["embeddings", "encoder"]})


def test_rows_have_equal_counts_and_lose_their_least() -> None:
    scores = saliency()
    masks = update_masks(scores, dense(scores), 0.25, "per_row")
    for name, mask in masks.items():
        for values, kept in zip(scores[name], mask, strict=True):
            assert int((~kept).sum()) == len(values) // 4
            assert values[~kept].max() < values[kept].min()


@pytest.mark.parametrize("wrong", ["4:2", "2:2", "0:4", "block5", ""])
def test_wrong_structures_are_refused(wrong: str) -> None:
    assert kept_of(wrong) is None
    with pytest.raises(ValueError, match="is no structure"):
        checked(wrong)


def test_a_pattern_needs_one_event() -> None:
    with pytest.raises(ValueError, match="has one sparsity"):
        Recipe.model_validate(
            {
                "structure": "2:4",
                "sparsity_schedule": {"kind": "scaled", "start": "1ep", "cycle": "1ep"},
                "lr_schedule": {"kind": "constant", "peak": 1},
                "train": {"duration": "scaled"},
            }
        )
