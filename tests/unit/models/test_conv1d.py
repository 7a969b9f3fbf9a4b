"""GPT-2's Conv1D: what is stored as (in, out) is scored, masked and counted as (out, in)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2ForSequenceClassification
from transformers.pytorch_utils import Conv1D

from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.models.components import component_map
from smc_bench.models.conv1d import as_stored, save_model, transposed_weights, use_linear
from tests.helpers.architectures import tiny_config, tiny_model
from tests.helpers.engine import MemoryContext, recipe, tiny_features, tiny_objective, trainer

ROWS = {"threshold": "per_row"}
SHAPES: dict[str, dict[str, Any]] = {
    "magnitude per row": {"scorer": "magnitude", **ROWS},
    "magnitude 2:4": {"scorer": "magnitude", "structure": "2:4"},
    "wanda per row": {
        "scorer": "wanda",
        "scorer_options": {"batches": 3, "batch": 8},
        **ROWS,
    },
}


def stock() -> GPT2ForSequenceClassification:
    torch.manual_seed(0)
    config = tiny_config("gpt2")
    config.num_labels = 2
    return GPT2ForSequenceClassification(config).eval()


def test_the_linear_layers_compute_the_same() -> None:
    theirs, ours = stock().double(), stock().double()
    use_linear(ours)
    assert not any(isinstance(module, Conv1D) for module in ours.modules())
    assert len(transposed_weights(ours)) == sum(isinstance(m, Conv1D) for m in theirs.modules())
    ids = torch.tensor([[5, 9, 7, 30]])
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=1e-12, atol=1e-12)
    stored = theirs.state_dict()
    back = as_stored(ours, ours.state_dict())
    assert stored.keys() == back.keys()
    assert all(torch.equal(stored[name], back[name]) for name in stored)


def test_the_saved_file_is_transformers_own(tmp_path: Path) -> None:
    theirs, ours = stock(), stock()
    use_linear(ours)
    theirs.save_pretrained(tmp_path / "theirs")
    save_model(ours, tmp_path / "ours")
    one, other = (load_file(tmp_path / n / "model.safetensors") for n in ("theirs", "ours"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def inputs_of(model: Any, name: str, features: list[dict[str, Any]]) -> torch.Tensor:
    """What a Conv1D of transformers' own model gets, token by token, (tokens, in)."""
    seen: list[torch.Tensor] = []
    layer = model.get_submodule(name.removesuffix(".weight"))
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0][0]))
    with torch.no_grad():
        for feature in features:
            model(torch.tensor([feature["input_ids"]]))
    handle.remove()
    return torch.cat(seen)


def test_moments_of_inputs_are_those_of_conv1d() -> None:
    model, features = tiny_model("gpt2", "sequence_classification", 2), tiny_features(8)
    names = component_map(model).in_scope(["encoder"])
    moments = Calibration(tiny_objective(model, features), 0, 0).input_moments(names, 1, 8)
    for name in names:
        x = inputs_of(stock(), name, features)
        torch.testing.assert_close(moments[name], x.T @ x / len(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_compare_the_inputs_of_one_output(shape: str, tmp_path: Path) -> None:
    """Against a choice made by hand on the stored tensor, whose columns are outputs."""
    settings = recipe(**SHAPES[shape], train={"duration": "1it", "batch": 8, "clip": None})
    model = tiny_model("gpt2", "sequence_classification", 2)
    run = trainer(model, settings, 0.5, MemoryContext(tmp_path))
    run.pruner.prune(run.timeline.events[0])
    kept = as_stored(model, run.pruner.masks)
    for name, stored in stock().named_parameters():
        if name not in kept:
            continue
        saliency = stored.detach().abs()  # (in, out)
        if "wanda" in shape:
            chosen = run.objective.features
            norms = inputs_of(stock(), name, chosen).square().mean(0).sqrt()
            saliency = saliency * norms[:, None]
        size = 4 if "2:4" in shape else len(saliency)
        groups = saliency.t().reshape(-1, size)
        order = groups.argsort(-1)
        expected = torch.zeros_like(groups, dtype=torch.bool)
        expected.scatter_(1, order[:, size // 2 :], True)
        expected = expected.reshape(saliency.t().shape).t()
        wrong = int((expected != kept[name]).sum())
        # Sums in another order may swap two that are nearly equal.
        assert wrong <= (2 if "wanda" in shape else 0), name
