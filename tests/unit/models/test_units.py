"""Units hold every weight once, and removing one is what gating its own output would be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.errors import ModelError
from smc_bench.models.components import component_map
from smc_bench.models.units import Unit, UnitKind, blocks, units
from tests.helpers.shrinking import ENCODERS, logits, tiny, zero

KINDS = (*ENCODERS, "llama", "mistral", "qwen2", "qwen3")


def linear_weights(model: Any) -> dict[str, torch.Tensor]:
    """Two-dimensional weights below a numbered block, by name: nothing of the table is used."""
    found = {name: p for name, p in model.named_parameters() if p.ndim == 2}
    return {name: p for name, p in found.items() if any(w.isdecimal() for w in name.split("."))}


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    layers=st.integers(1, 3),
    groups=st.integers(1, 3),
    queries=st.integers(1, 3),
    size=st.sampled_from([2, 4]),
    neurons=st.integers(1, 7),
    chosen=st.sampled_from([("head", "neuron"), ("layer",)]),
)
def test_units_partition_the_weights_of_the_blocks(
    kind: str,
    layers: int,
    groups: int,
    queries: int,
    size: int,
    neurons: int,
    chosen: tuple[UnitKind, ...],
) -> None:
    shape = {"layers": layers, "heads": groups * queries, "groups": groups, "size": size}
    model = tiny(kind, **shape, neurons=neurons)
    weights = linear_weights(model)
    counts = {name: torch.zeros_like(weight, dtype=torch.long) for name, weight in weights.items()}
    for unit in units(model, chosen):
        taken = 0
        for part in unit.members:
            part.of(counts[part.tensor]).add_(1)
            taken += part.of(counts[part.tensor]).numel()
        assert taken == unit.size
        assert set(unit.outputs) <= set(unit.members)
    assert {name for name, count in counts.items() if not bool((count == 1).all())} == set()
    if kind in ENCODERS:
        assert set(counts) == set(component_map(model).in_scope(["encoder"]))


def gated(model: Any, unit: Unit) -> torch.Tensor:
    """Logits with one unit's own activation held at zero, by a hook on an untouched model."""
    block = blocks(model)[unit.layer]
    if unit.kind == "head":
        size = block.head_size
        mine = slice(unit.index * size, (unit.index + 1) * size)
        value = model.get_submodule(f"{block.path}.{block.names.value}")

        def silence(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
            output = output.clone()
            output[..., mine] = 0
            return output

        handle = value.register_forward_hook(silence)
    else:
        down = model.get_submodule(f"{block.path}.{block.names.down}")

        def mute(module: Any, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            inputs = given[0].clone()
            inputs[..., unit.index] = 0
            return (inputs,)

        handle = down.register_forward_pre_hook(mute)
    found = logits(model)
    handle.remove()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outputs_alone", [True, False])
def test_zeros_remove_a_unit_and_no_other(kind: str, outputs_alone: bool) -> None:
    model = tiny(kind, layers=2, neurons=6).double()
    whole = logits(model)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for unit in units(model):
        wanted = gated(model, unit)
        assert not torch.allclose(wanted, whole, atol=1e-9)
        found = logits(zero(model, [unit], outputs_alone=outputs_alone))
        assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
        model.load_state_dict(kept)


def test_a_group_has_all_of_its_query_heads() -> None:
    model = tiny("llama", heads=6, groups=2, size=4)
    first = units(model, ["head"])[0]
    rows = {
        part.tensor.split(".")[-2]: (part.axis, part.start, part.stop) for part in first.members
    }
    assert rows == {
        "q_proj": (0, 0, 12),
        "k_proj": (0, 0, 4),
        "v_proj": (0, 0, 4),
        "o_proj": (1, 0, 12),
    }
    assert len(units(model, ["head"])) == 3 * 2


def test_an_architecture_without_a_row_is_named() -> None:
    model = tiny("bert")
    model.config.model_type = "gpt2"
    with pytest.raises(ModelError, match=r"'gpt2'.*models/architecture\.py"):
        units(model)
