"""Depth-pruned models: kept blocks are the source's bits, and transformers loads what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from smc_bench.errors import ModelError
from smc_bench.export.measure import filled, size_of
from smc_bench.models.depth import KEPT_LAYERS, keep_layers, with_all_layers
from smc_bench.models.load import load_model
from tests.helpers.engine import recipe
from tests.helpers.shrinking import AUTO, tiny

BLOCKS = {
    "bert": "bert.encoder.layer", "roberta": "roberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer", "electra": "electra.encoder.layer",
    "mpnet": "mpnet.encoder.layer", "llama": "model.layers", "qwen2": "model.layers",
}  # fmt: skip


def by_block(state: dict[str, torch.Tensor], path: str, index: int) -> dict[str, torch.Tensor]:
    start = f"{path}.{index}."
    return {n.removeprefix(start): t for n, t in state.items() if n.startswith(start)}


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_kept_blocks_are_the_sources_bits(kind: str, tmp_path: Path) -> None:
    model, path = tiny(kind, layers=5), BLOCKS[kind]
    source = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    keep_layers(model, [0, 2, 4])
    own = model.state_dict()
    for new, old in enumerate((0, 2, 4)):
        mine, theirs = by_block(own, path, new), by_block(source, path, old)
        assert mine
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert not by_block(own, path, 3)
    rest = {name for name in own if not name.startswith(path)}
    assert rest == {name for name in source if not name.startswith(path)}
    assert all(torch.equal(own[name], source[name]) for name in rest)
    model.save_pretrained(tmp_path)
    stock = AUTO["sequence_classification"].from_pretrained(tmp_path).eval()
    ids = torch.tensor([[2, 7, 31, 9, 3]])
    with torch.no_grad():
        torch.testing.assert_close(stock(ids).logits, model(ids).logits)
    assert AutoConfig.from_pretrained(tmp_path).num_hidden_layers == 3


def test_layers_left_out_are_the_identity_of_the_residual_stream() -> None:
    """Independent of module lists: a block that is skipped by hand computes the same."""
    whole, kept = tiny("bert", layers=3), tiny("bert", layers=3)
    keep_layers(kept, [0, 2])
    whole.bert.encoder.layer[1].forward = lambda hidden, *_, **__: hidden
    ids = torch.tensor([[2, 7, 31, 9, 3]])
    with torch.no_grad():
        torch.testing.assert_close(whole(ids).logits, kept(ids).logits, rtol=0, atol=0)


def test_measured_beside_the_whole_depth(tmp_path: Path) -> None:
    """What is timed as dense has all layers, also after a round through a folder."""
    model = tiny("bert", layers=5)
    count = sum(p.numel() for p in model.parameters())
    keep_layers(model, [1, 3, 4])
    keep_layers(model, [0, 2])
    assert getattr(model.config, KEPT_LAYERS) == {"of": 5, "kept": [1, 4]}
    model.save_pretrained(tmp_path)
    again: Any = load_model(tmp_path, "sequence_classification", 2, seed=0, finished=True)
    dense = filled(again)
    assert sum(p.numel() for p in dense.parameters()) == count
    assert dense.config.num_hidden_layers == 5
    assert again.config.num_hidden_layers == 2
    head = "sequence_classification"
    assert 5 * size_of(again, head, 8).encoder_macs == 2 * size_of(dense, head, 8).encoder_macs
    whole = tiny("bert", layers=2)
    assert with_all_layers(whole) is whole


@pytest.mark.parametrize("wrong", [[5], [0, 7], []])
def test_blocks_that_are_not_there_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ModelError, match="the model has 5 blocks, counted from 0"):
        keep_layers(tiny("bert", layers=5), wrong)


def test_an_architecture_without_known_blocks_is_refused() -> None:
    model = tiny("bert")
    model.config.model_type = "albert"
    with pytest.raises(ModelError, match="albert"):
        keep_layers(model, [0])


TRAIN = {"duration": "6it"}


def test_identity_holds_the_kept_layers_and_nothing_where_all_stay() -> None:
    assert "keep_layers" not in recipe(train=TRAIN).model_dump()["train"]
    some = recipe(train={**TRAIN, "keep_layers": [0, 2]})
    assert some.model_dump(mode="json")["train"]["keep_layers"] == [0, 2]
    assert some != recipe(train={**TRAIN, "keep_layers": [0, 1]})


@pytest.mark.parametrize("wrong", [[2, 0], [1, 1], [-1], [], [True]])
def test_wrong_lists_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match=r"keep_layers|lowest first|greater than"):
        recipe(train={**TRAIN, "keep_layers": wrong})


def test_a_speed_is_of_the_whole_model() -> None:
    with pytest.raises(ValueError, match=r"without train\.keep_layers"):
        recipe(structure="heads", target={"speedup": 2}, train={**TRAIN, "keep_layers": [0]})
