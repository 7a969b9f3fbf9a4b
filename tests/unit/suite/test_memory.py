"""Predicted memory against what torch really keeps, on tiny models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.execution import Execution
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.recompute import recompute_blocks
from smc_bench.suite import memory
from smc_bench.suite.cell import Cell
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


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama", "opt", "t5"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_language_models_head_counts_unless_tied(kind: str, tied: bool, tmp_path: Path) -> None:
    model = tiny_model(kind, "language_modelling", tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    size = size_of(tmp_path)
    assert size is not None
    assert size.parameters + size.writing == sum(p.numel() for p in model.parameters())
    head = model.get_output_embeddings()
    assert bool(size.writing) == (head.weight is not model.get_input_embeddings().weight)
    assert size.vocabulary == head.out_features


def writer(distilled: bool) -> Cell:
    cell = student(7, 0.5)
    task = cell.task.model_copy(update={"name": "review_text", "max_length": 64})
    changes = {} if distilled else {"distillation": None}
    recipe = cell.recipe.model_copy(update=changes)
    return cell.model_copy(update={"task": task, "recipe": recipe})


def test_logits_over_the_vocabulary_and_a_live_teacher_count(tmp_path: Path) -> None:
    tiny_model("gpt2", "language_modelling").save_pretrained(tmp_path)
    size = size_of(tmp_path)
    assert size is not None
    alone, taught = (predicted(writer(distilled), size, Execution()) for distilled in (False, True))
    wider = replace(size, vocabulary=size.vocabulary + 50_000)
    more = predicted(writer(False), wider, Execution())
    rows = writer(False).recipe.train.batch
    # Logits, their log probabilities, and a gradient of each, of every token.
    assert more.activations - alone.activations == 4 * 4 * rows * 64 * 50_000
    assert taught.weights == 2 * alone.weights
    assert taught.gradients == alone.gradients == alone.weights


def test_a_depth_pruned_student_takes_less(tmp_path: Path) -> None:
    size = size_of(tiny_folder("bert", tmp_path))
    assert size is not None
    cell = student(7, 0.5)
    train = cell.recipe.train.model_copy(update={"keep_layers": (0,)})
    recipe = cell.recipe.model_copy(update={"train": train})
    shallow = predicted(cell.model_copy(update={"recipe": recipe}), size, Execution())
    model = tiny_model("bert", "sequence_classification")
    gone = sum(p.numel() for block in model.bert.encoder.layer[1:] for p in block.parameters())
    whole = predicted(cell, size, Execution())
    assert whole.weights - shallow.weights == 4 * gone
    assert shallow.masks == whole.masks // len(model.bert.encoder.layer)
    assert shallow.activations < whole.activations


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
