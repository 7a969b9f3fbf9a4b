"""A checkpoint that is damaged is named, and never taken for a good one or for a bug."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smc_bench.dispatch.failures import failure_of
from smc_bench.engine.checkpoint import load_checkpoint, save_checkpoint
from smc_bench.engine.pruning.audit import read_weights
from smc_bench.errors import DamagedError, ModelError


class NoPruner:
    """A pruner without masks."""

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def load(self, state: dict[str, torch.Tensor], reached: float) -> None:
        assert not state


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, optimizer = trained()
    numbers = {"step": 1, "events": [], "reached": 0.0}
    save_checkpoint(tmp_path, model, optimizer, NoPruner(), numbers)  # type: ignore[arg-type]
    return tmp_path


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    return model, load_checkpoint(folder, model, optimizer, NoPruner())  # type: ignore[arg-type]


def test_a_whole_one_gives_back_what_was_saved(folder: Path) -> None:
    model, numbers = load(folder)
    assert torch.equal(model.weight, trained()[0].weight)
    assert numbers == {"step": 1, "events": [], "reached": 0.0}


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "half of it": ("state.safetensors", _halve),
    "empty": ("state.safetensors", lambda p: p.write_bytes(b"")),
    "other bytes": ("state.safetensors", lambda p: p.write_bytes(b"\xff" * 100)),
    "gone": ("state.safetensors", Path.unlink),
    "another model's": (
        "state.safetensors",
        lambda p: save_file({"model/weight": torch.zeros(5, 5)}, p),
    ),
    "nothing of a model": ("state.safetensors", lambda p: save_file({"x": torch.zeros(1)}, p)),
    "half numbers": ("state.json", _halve),
    "no numbers": ("state.json", Path.unlink),
    "other numbers": ("state.json", lambda p: p.write_text("[]")),
    "a number missing": ("state.json", lambda p: p.write_text('{"step": 1}')),
    "no number": (
        "state.json",
        lambda p: p.write_text(json.dumps({"step": "x", "events": [], "reached": 0.0})),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_an_invalid_cell_and_names_the_file(folder: Path, name: str) -> None:
    file, damage = DAMAGE[name]
    damage(folder / file)
    with pytest.raises(DamagedError) as caught:
        load(folder)
    failure = failure_of(caught.value, 1)
    assert failure.type == "invalid"
    assert str(folder / file) in failure.message


@pytest.mark.parametrize("damage", [_halve, lambda p: p.write_bytes(b""), Path.unlink])
def test_damaged_weights_are_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.ones(4)}, path)
    assert torch.equal(read_weights(path)["weight"], torch.ones(4))
    damage(path)
    with pytest.raises(ModelError) as caught:
        read_weights(path)
    assert failure_of(caught.value, 1).type == "invalid"
    assert str(path) in str(caught.value)
