"""A shrunk model computes what the model with zeros computes: torch, after reload, as ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional

from smc_bench.errors import ModelError
from smc_bench.export.shrink import check_same, living, save_shrunk, shrink
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.layout import Layout
from smc_bench.models.load import load_model
from smc_bench.models.packing import enable_packing
from smc_bench.models.units import units
from tests.helpers.shrinking import AUTO, ENCODERS, logits, some, tiny, zero

HEADS = tuple(AUTO)


def saved(model: Any, folder: Path) -> dict[str, tuple[int, ...]]:
    save_shrunk(model, folder)
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("kind", [*ENCODERS, "llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("outputs_alone", [True, False])
def test_logits_are_those_of_the_zeroed_model_in_float64(kind: str, outputs_alone: bool) -> None:
    model = tiny(kind)
    zero(model, some(model), outputs_alone=outputs_alone).double()
    small, what = shrink(model)
    assert torch.allclose(logits(small), logits(model), rtol=0, atol=1e-11)
    counted = {k: sum(u.kind == k for u in some(model)) for k in ("head", "neuron")}
    assert (what.heads[0], what.neurons[0]) == (counted["head"], counted["neuron"])
    fewer = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in small.parameters())
    assert what.parameters[1] - what.parameters[0] == fewer > 0
    assert what.anything


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("head", HEADS)
def test_reloaded_logits_are_equal(kind: str, head: Any, tmp_path: Path) -> None:
    model = tiny(kind, head=head)
    zero(model, some(model))
    small, _ = shrink(model)
    save_shrunk(small, tmp_path)
    loaded = load_model(tmp_path, head, 2, seed=9, finished=True).eval()
    assert torch.equal(logits(loaded, head), logits(small, head))
    assert float((logits(loaded, head) - logits(model, head)).abs().max()) <= 1e-6
    assert check_same(model, tmp_path, head, 2) <= 1e-12


@pytest.mark.parametrize(
    ("kind", "opset"), [*((kind, 14) for kind in ENCODERS), ("bert", 18), ("mpnet", 18)]
)
def test_onnx_of_a_shrunk_model(kind: str, opset: int, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    from smc_bench.export.onnx import example_inputs, write_onnx

    # Weights of a size at which float32 itself is good to 1e-6.
    model = tiny(kind, initializer_range=0.05)
    whole = logits(model)
    zero(model, some(model))
    assert float((logits(model) - whole).abs().max()) > 1e-3
    small, _ = shrink(model)
    path = tmp_path / "model.onnx"
    write_onnx(small, "sequence_classification", path, opset=opset)
    inputs = example_inputs(model, "sequence_classification", 3, 13)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        wanted = model(**inputs).logits
    assert float((torch.from_numpy(found) - wanted).abs().max()) <= 1e-6


def test_a_headless_layer_is_layernorm_of_input_and_bias(tmp_path: Path) -> None:
    model = tiny("bert", layers=2).double()
    zero(model, [u for u in units(model, ["head"]) if u.layer == 0])
    small, _ = shrink(model)
    block, old = small.bert.encoder.layer[0], model.bert.encoder.layer[0]
    states = torch.randn(2, 5, 32, dtype=torch.float64)
    norm = old.attention.output.LayerNorm
    wanted = functional.layer_norm(
        states + old.attention.output.dense.bias, (32,), norm.weight, norm.bias, norm.eps
    )
    found, _ = block.attention(states)
    assert torch.equal(found, wanted)
    names = [name for name in saved(small, tmp_path) if "layer.0.attention" in name]
    assert sorted(name.rpartition("attention.")[2] for name in names) == [
        "output.LayerNorm.bias", "output.LayerNorm.weight", "output.dense.bias",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ENCODERS)
def test_nothing_is_padded(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    small, _ = shrink(zero(model, some(model)))
    # What is alive in the model with zeros, counted anew and not by the code under test.
    gone = {(u.kind, u.layer, u.index) for u in some(tiny(kind))}
    alive = [(u.kind, u.layer) for u in units(model) if (u.kind, u.layer, u.index) not in gone]
    assert [(u.kind, u.layer) for u in units(small)] == alive
    parameters = dict(small.named_parameters())
    for unit in units(small):
        for part in unit.outputs:
            assert bool((part.of(parameters[part.tensor]) != 0).any())
    assert all(0 not in shape for shape in saved(small, tmp_path).values())


@pytest.mark.parametrize("kind", ENCODERS)
def test_equal_neurons_give_a_stock_folder(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    zero(model, [u for u in units(model, ["neuron"]) if (u.index + u.layer) % 3 == 0])
    small, what = shrink(model)
    assert what.uniform
    save_shrunk(small, tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["hidden_dim" if kind == "distilbert" else "intermediate_size"] == 16
    assert not {"per_layer_config", "attention_head_size", "kept_heads"} & set(content)
    stock = AUTO["sequence_classification"].from_pretrained(tmp_path).eval()
    assert torch.equal(logits(stock), logits(small))
    assert float((logits(stock) - logits(model)).abs().max()) <= 1e-6


def test_equal_groups_give_a_stock_folder_where_the_size_of_a_head_is_a_setting(
    tmp_path: Path,
) -> None:
    model = tiny("llama", heads=6, groups=3)
    zero(model, [u for u in units(model, ["head"]) if u.index == u.layer])
    small, what = shrink(model)
    assert what.uniform
    save_shrunk(small, tmp_path)
    stock = AUTO["sequence_classification"].from_pretrained(tmp_path).eval()
    assert (stock.config.num_attention_heads, stock.config.num_key_value_heads) == (4, 2)
    assert float((logits(stock) - logits(model)).abs().max()) <= 1e-6


@pytest.mark.parametrize("kind", ENCODERS)
def test_whole_layers_and_everything_can_go(kind: str, tmp_path: Path) -> None:
    for removed in ([1], [0, 1, 2]):
        model = tiny(kind)
        zero(model, [u for u in units(model, ["layer"]) if u.layer in removed])
        small, _ = shrink(model)
        save_shrunk(small, tmp_path)
        loaded = load_model(tmp_path, "sequence_classification", 2, seed=0, finished=True).eval()
        assert float((logits(loaded) - logits(model)).abs().max()) <= 1e-6
        assert len(units(small, ["layer"])) == 3 - len(removed)


@pytest.mark.parametrize("kind", ENCODERS)
def test_shrinking_twice_is_shrinking_once(kind: str, tmp_path: Path) -> None:
    removed = some(tiny(kind))
    once, _ = shrink(zero(tiny(kind), removed))
    first, _ = shrink(zero(tiny(kind), removed[::2]))
    again = zero(tiny(kind), removed)
    # The same weights go from the model that has lost half of the units already.
    half = living(zero(tiny(kind), removed[::2]))
    for unit in removed[1::2]:
        kept = half[unit.layer].groups if unit.kind == "head" else half[unit.layer].neurons
        at = kept.tolist().index(unit.index)
        zero(
            first, [u for u in units(first, [unit.kind]) if (u.layer, u.index) == (unit.layer, at)]
        )
    twice, _ = shrink(first)
    assert saved(twice, tmp_path) == saved(once, tmp_path)
    assert torch.equal(logits(twice), logits(once))
    loaded = load_model(tmp_path, "sequence_classification", 2, seed=0, finished=True).eval()
    assert float((logits(loaded) - logits(again)).abs().max()) <= 1e-6


def test_single_zeros_stay_zeros_beside_removed_units() -> None:
    model = tiny("bert")
    zero(model, some(model))
    with torch.no_grad():
        for unit in units(model, ["layer"]):
            for part in unit.members:
                weight = dict(model.named_parameters())[part.tensor]
                weight[weight.abs() < 0.2] = 0
    small, _ = shrink(model)
    assert torch.allclose(logits(small.double()), logits(model.double()), rtol=0, atol=1e-12)
    parameters = dict(small.named_parameters())
    weights = torch.cat(
        [parameters[p.tensor].flatten() for u in units(small, ["layer"]) for p in u.members]
    )
    assert 0.3 < float((weights == 0).double().mean()) < 0.45  # P(|N(0, 0.4)| < 0.2) is 0.383
    assert not bool(((weights != 0) & (weights.abs() < 0.2)).any())


def test_nothing_to_remove_is_told_apart() -> None:
    model = tiny("bert")
    small, what = shrink(model)
    assert not what.anything
    assert what.uniform
    assert torch.equal(logits(small), logits(model))


def test_a_folder_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    model = tiny("bert")
    small, _ = shrink(zero(model, some(model)))
    with torch.no_grad():
        small.bert.encoder.layer[0].output.dense.weight[0, 0] += 1e-3
    save_shrunk(small, tmp_path)
    with pytest.raises(ModelError, match="differ from the pruned model's"):
        check_same(model, tmp_path, "sequence_classification", 2)


@pytest.mark.parametrize("kind", [kind for kind in ENCODERS if ARCHITECTURES[kind].packable])
def test_packed_batches_work_on_a_shrunk_model(kind: str) -> None:
    model = tiny(kind)
    small, _ = shrink(zero(model, some(model)))
    ids = torch.randint(5, 45, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    with torch.no_grad():
        wanted = small(input_ids=ids, attention_mask=mask).logits
    assert enable_packing(small, spans=False)
    from smc_bench.models.packing import first_position

    start = first_position(small)
    lengths = [9, 4]
    positions = torch.cat([torch.arange(start, start + n) for n in lengths])[None]
    given = {"input_ids": torch.cat([ids[0], ids[1, :4]])[None]}
    given["position_ids"] = positions
    with torch.no_grad():
        found = small(**given, layout=Layout.of(lengths, ids.device)).logits
    assert float((found - wanted).abs().max()) <= 2e-6
