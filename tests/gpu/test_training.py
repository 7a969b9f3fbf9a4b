"""Training on a GPU: packed batches, half precision, masks, counts, resume, methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification

from smc_bench.engine.accelerator import accelerator
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.trainer import Trainer
from smc_bench.errors import Interrupted
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, tiny_features

pytestmark = pytest.mark.gpu

STEPS = 8
GRADUAL = {"kind": "ramp", "start": "1it", "end": "7it", "every": "2it"}


def settings(**changes: Any) -> Recipe:
    train = {"duration": f"{STEPS}it", "batch": 8, "clip": 1.0, "dropout": 0.1}
    base: dict[str, Any] = {"sparsity_schedule": GRADUAL, "train": train}
    made = recipe(**(base | changes))
    options = checked_options(SCORERS[made.scorer], made.scorer_options)
    return made.model_copy(update={"scorer_options": options})


def trained(
    device: torch.device,
    precision: str,
    made: Recipe,
    folder: Path,
    stop_after: int | None = None,
    target: float = 0.75,
) -> Trainer:
    """A tiny classifier, trained on the device; stopped and resumed on the way where asked for."""
    features = tiny_features()
    parts = accelerator({"fp32": "no"}.get(precision, precision))

    def one(context: MemoryContext) -> Trainer:
        model = tiny_classifier(dropout=0.1).to(device)
        return Trainer(
            Feed(model, "sequence_classification", 0, parts.autocast, "none"),
            features,
            made,
            build_timeline(made, target, len(features)),
            seed=5,
            accelerator=parts,
            context=context,  # type: ignore[arg-type]
        )

    if stop_after is not None:
        with pytest.raises(Interrupted):
            one(MemoryContext(folder, stop_after)).run()
    run = one(MemoryContext(folder))
    assert run.step == (stop_after or 0)
    run.run()
    return run


@pytest.mark.parametrize("padding", ["none", "dynamic"])
def test_a_batch_gives_what_its_rows_give_alone(device: torch.device, padding: Any) -> None:
    """Loss and gradients in float64, packed and padded, against one row at a time."""
    features = tiny_features(7)
    together, alone = tiny_classifier().to(device).double(), tiny_classifier().to(device).double()
    loss = _objective(together, features, padding).loss(list(range(7)))
    rows = [_objective(alone, [features[row]], padding).loss([0]) / 7 for row in range(7)]
    torch.testing.assert_close(loss, torch.stack(rows).sum(), rtol=1e-12, atol=0.0)
    loss.backward()
    torch.stack(rows).sum().backward()
    pairs = zip(together.named_parameters(), alone.parameters(), strict=True)
    for (name, one), other in pairs:
        assert one.grad is not None, name
        assert other.grad is not None, name
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-11, msg=name)


def _objective(
    model: BertForSequenceClassification, features: list[dict[str, Any]], padding: Any
) -> Objective:
    return Objective(Feed(model, "sequence_classification", 0, padding=padding), features)


def test_masks_hold_and_counts_are_exact(
    device: torch.device, precision: str, tmp_path: Path
) -> None:
    run = trained(device, precision, settings(), tmp_path)
    weights = dict(run.raw.named_parameters())
    zeros = total = 0
    for name, mask in run.pruner.masks.items():
        assert mask.device.type == device.type
        assert not weights[name][~mask.bool()].any(), name
        zeros, total = zeros + int((weights[name] == 0).sum()), total + mask.numel()
    assert zeros == round(0.75 * total)
    assert all(bool(weight.isfinite().all()) for weight in weights.values())
    assert all(weight.dtype == torch.float32 for weight in weights.values())


@pytest.mark.parametrize("stop", [1, 4, STEPS - 1])
def test_what_is_stopped_resumes_to_the_same_bits(
    device: torch.device, precision: str, stop: int, tmp_path: Path
) -> None:
    """Deterministic kernels, dropout on: loss scaler, masks and random numbers are restored."""
    straight = trained(device, precision, settings(), tmp_path / "straight")
    resumed = trained(device, precision, settings(), tmp_path / "resumed", stop)
    for (name, one), other in zip(
        straight.raw.named_parameters(), resumed.raw.parameters(), strict=True
    ):
        assert torch.equal(one, other), name


METHODS: dict[str, dict[str, Any]] = {
    "movement": {"scorer": "movement"},
    "RigL": {
        "scorer": "random",
        "regrowth": {"every": "2it", "until": "75%"},
        "sparsity_schedule": {"kind": "one_shot", "at": "0it"},
    },
    "SNIP": {"scorer": "snip", "sparsity_schedule": {"kind": "one_shot", "at": "0it"}},
    "Wanda": {"scorer": "wanda", "threshold": "per_row"},
    "SparseGPT": {"scorer": "sparsegpt", "threshold": "per_layer"},
    "oBERT": {"scorer": "obert", "scorer_options": {"gradients": 16, "block": 8}},
    "units, Taylor": {"structure": "heads+neurons", "scorer": "taylor"},
    "units, ZipLM": {"structure": "heads+neurons", "scorer": "ziplm"},
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_in_half_precision(
    device: torch.device, precision: str, name: str, tmp_path: Path
) -> None:
    run = trained(device, precision, settings(**METHODS[name]), tmp_path, target=0.5)
    assert all(bool(weight.isfinite().all()) for weight in run.raw.parameters())
    kept = [mask.bool() for mask in run.pruner.masks.values()]
    left = sum(int(mask.sum()) for mask in kept) / sum(mask.numel() for mask in kept)
    # Units come in lumps of this tiny model; single weights to one in all.
    assert left == pytest.approx(0.5, abs=0.1 if "units" in name else 0.02)
