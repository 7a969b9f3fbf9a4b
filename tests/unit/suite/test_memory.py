"""Predicted memory against what torch really keeps, on tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.execution import Execution
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.recompute import recompute_blocks
from smc_bench.suite import memory
from smc_bench.suite.memory import predicted, size_of
from tests.helpers.architectures import tiny_folder, tiny_model
from tests.unit.suite.test_length import student

BATCH, LENGTH = 6, 40


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_parameters_are_those_of_the_model(kind: str, tmp_path: Path) -> None:
    size = size_of(tiny_folder(kind, tmp_path))
    assert size is not None
    base = tiny_model(kind, "sequence_classification").base_model
    own = sum(p.numel() for n, p in base.named_parameters() if not n.startswith("pooler"))
    assert size.parameters == own


def test_what_says_no_size_has_none(tmp_path: Path) -> None:
    assert size_of(tmp_path) is None
    (tmp_path / "config.json").write_text('{"model_type": "novel"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert size_of(tmp_path) is None


def _kept(model: Any, ids: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, beside the weights."""
    mine = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in mine:
            kept[storage.data_ptr()] = storage  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "gpt2", "gpt_neox", "distilbert"])
def test_activations_are_about_what_torch_keeps(kind: str, tmp_path: Path) -> None:
    size = size_of(tiny_folder(kind, tmp_path))
    assert size is not None
    kept, told = {}, {}
    for again in (False, True):
        model = tiny_model(kind, "sequence_classification", 2)
        model.set_attn_implementation("eager")
        if again:
            recompute_blocks(model)
        kept[again] = _kept(model.train(), torch.full((BATCH, LENGTH), 7))
        told[again] = memory._activations(size, BATCH * LENGTH, LENGTH, 4, again)
    # GPT-NeoX has no dropout by default and one input for both halves: the least of them all.
    assert 0.6 < told[False] / kept[False] < 1.6
    # One block in full is there again only later, in the backward pass.
    block = (told[False] - told[True] + size.layers * 4 * BATCH * LENGTH * size.width) / (
        size.layers - 1
    )
    assert 0.6 < (told[False] - told[True] + block) / (kept[False] - kept[True]) < 1.6


def test_kinds_add_up_to_the_peak(tmp_path: Path) -> None:
    size = size_of(tiny_folder("bert", tmp_path))
    assert size is not None
    cell = student(7, 0.5)
    found = predicted(cell, size, Execution())
    assert found.gradients == found.weights
    assert found.moments == 2 * found.weights
    held = found.weights + found.moments + found.masks
    assert found.peak == held + max(found.gradients + found.activations, found.scoring)
    assert found.masks == sum(size.prunable[name] for name in ("encoder",))
    small = predicted(cell, size, Execution(micro_batch=cell.recipe.train.batch // 2))
    assert small.activations == pytest.approx(found.activations / 2)
    again = predicted(cell, size, Execution(gradient_checkpointing=True))
    assert again.activations < found.activations


def test_fisher_blocks_stay_within_their_memory(tmp_path: Path) -> None:
    size = size_of(tiny_folder("bert", tmp_path))
    assert size is not None
    cell = student(7, 0.5)
    large = cell.model_copy(
        update={"recipe": cell.recipe.model_copy(update={"scorer": "obert", "scorer_options": {}})}
    )
    options = {"fisher_memory": "1kB"}
    changed = {"scorer": "obert", "scorer_options": options}
    tight = cell.model_copy(update={"recipe": cell.recipe.model_copy(update=changed)})
    scope = size.prunable["encoder"]
    whole = 4 * scope * (50 + 32)  # block and buffered gradients of the defaults
    difference = (
        predicted(large, size, Execution()).scoring - predicted(tight, size, Execution()).scoring
    )
    assert difference == whole - 1000
