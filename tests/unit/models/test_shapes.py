"""Model folders of uneven layers: what is read back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from smc_bench.errors import ModelError
from smc_bench.export.shrink import save_shrunk, shrink
from smc_bench.models.cost import component_costs
from smc_bench.models.load import load_model, load_with_notes
from tests.helpers.shrinking import ENCODERS, logits, some, tiny, zero

HEAD = "sequence_classification"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tiny("bert")
    save_shrunk(shrink(zero(model, some(model)))[0], tmp_path)
    return tmp_path


def change(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["per_layer_config"]["0"] |= changes.pop("first", {})
    path.write_text(json.dumps(content | changes))


@pytest.mark.parametrize("kind", ENCODERS)
def test_stock_loading_fails_where_layers_are_uneven(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    save_shrunk(shrink(zero(model, some(model)))[0], tmp_path)
    with pytest.raises(RuntimeError, match="per-layer attribute"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    # So does a transformers from before per_layer_config, which is blind to it.
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["per_layer_config"]
    path.write_text(json.dumps(content))
    with pytest.raises(RuntimeError):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize("only", ["head", "neuron"])
def test_one_headless_or_narrow_layer_is_enough_to_be_refused(only: str, tmp_path: Path) -> None:
    model = tiny("bert")
    removed = [u for u in some(model, 0.0) if u.kind == only]
    save_shrunk(shrink(zero(model, removed))[0], tmp_path)
    with pytest.raises(RuntimeError):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(
        logits(load_model(tmp_path, HEAD, 2, seed=0, finished=True).eval()),
        logits(shrink(model)[0]),
    )


def test_a_new_head_on_a_shrunk_model(folder: Path) -> None:
    one, notes = load_with_notes(folder, HEAD, 3, seed=1)
    same, other = load_model(folder, HEAD, 3, seed=1), load_model(folder, HEAD, 3, seed=2)
    assert "not used" in notes[0]
    assert one.classifier.weight.shape == (3, 32)
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(
        one.bert.embeddings.word_embeddings.weight, other.bert.embeddings.word_embeddings.weight
    )
    # A model that is trained on is saved by transformers, and read again.
    one.save_pretrained(folder / "again")
    again = load_model(folder / "again", HEAD, 3, seed=0, finished=True).eval()
    assert torch.equal(logits(again), logits(one.eval()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attention_head_size": None}, "attention_head_size is None"),
        ({"attention_head_size": 16}, "heads of size 16"),
        ({"first": {"intermediate_size": -1}}, "layer 0: intermediate_size is -1"),
        ({"first": {"num_attention_heads": 2.5}}, "num_attention_heads is 2.5"),
        ({"first": {"hidden_size": 8}}, "'hidden_size' can't differ"),
        ({"per_layer_config": {"0": {}, "7": {}}}, "'7' is none of the 3 layers"),
        ({"per_layer_config": []}, "only models with uneven layers"),
        ({"num_attention_heads": "4"}, "num_attention_heads is '4'"),
        ({"first": {"intermediate_size": 23}}, "intermediate.dense.bias has the shape"),
        ({"hidden_size": "wide"}, "no usable config.json"),
    ],
)
def test_wrong_shapes_are_named(folder: Path, changes: dict[str, Any], said: str) -> None:
    change(folder, **changes)
    with pytest.raises(ModelError, match=said):
        load_model(folder, HEAD, 2, seed=0, finished=True)


def test_a_lost_tensor_is_never_made_up(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    lost = "bert.encoder.layer.1.attention.output.dense.bias"  # all that is left of that attention
    del tensors[lost]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=lost):
        load_model(folder, HEAD, 2, seed=0)


def test_costs_of_a_shrunk_folder_are_its_own(folder: Path) -> None:
    costs = component_costs(str(folder), "classification", 2, 12, ("cpu", 1, 1))
    stored = load_file(folder / "model.safetensors")
    own = [t for name, t in stored.items() if ".layer." in name]
    assert costs["encoder"].parameters == sum(t.numel() for t in own)
    # By hand: two FLOPs a weight and token, and scores and context of the heads that are left.
    weights = sum(t.numel() for t in own if t.ndim == 2)
    queries = [t.shape[0] for name, t in stored.items() if name.endswith("query.weight")]
    assert costs["encoder"].flops == 2 * 12 * weights + sum(2 * 2 * 12 * 12 * w for w in queries)
