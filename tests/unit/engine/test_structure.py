from __future__ import annotations

import pytest
import torch

from smc_bench.engine.masks import tighten
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.structure import checked, kept_of


def saliency() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"a": torch.rand(6, 8), "b": torch.rand(4, 16)}


def dense(like):
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in like.items()}


def test_pattern_keeps_the_n_most_salient_of_each_m() -> None:
    scores = saliency()
    masks = tighten(scores, dense(scores), 0.5, structure="2:4")
    for name, mask in masks.items():
        for values, kept in zip(scores[name].reshape(-1, 4), mask.reshape(-1, 4), strict=True):
            best = set(values.topk(2).indices.tolist())
            assert set(kept.nonzero().flatten().tolist()) == best


def test_blocks_of_four_go_together() -> None:
    scores = {n: s[:, ::4].repeat_interleave(4, dim=1) for n, s in saliency().items()}
    masks = tighten(scores, dense(scores), 0.5, structure="block4")
    groups = torch.cat([m.reshape(-1, 4).float() for m in masks.values()])
    assert set(groups.mean(1).tolist()) == {0.0, 1.0}
    assert int((groups.mean(1) == 0).sum()) == len(groups) // 2


def test_rows_have_equal_counts_and_lose_their_least() -> None:
    scores = saliency()
    masks = tighten(scores, dense(scores), 0.25, "per_row")
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
