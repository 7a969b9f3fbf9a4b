"""Where autocast is in force and where not, seen from inside: dtypes at every Linear layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.predict import predict
from smc_bench.engine.pruning import calibration
from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.engine.pruning.gates import gate_gradients
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.trainer import Trainer
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, tiny_features

HALF = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SMALL = {"gradients": 6, "gradient_batch": 4, "block": 8, "batches": 2, "batch": 4}
PLAIN = {"magnitude", "random"}  # ask nothing of the model


def accelerator(precision: str) -> Any:
    """Accelerate's, or for fp16, which it has on GPUs only, a stand-in with torch's own parts."""
    if precision == "fp16":
        return SimpleNamespace(
            scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10),
            autocast=lambda: torch.autocast("cpu", torch.float16),
        )
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=True, mixed_precision={"fp32": "no"}.get(precision, precision))


def built(precision: str, settings: Recipe, folder: Path, model: Any = None) -> Trainer:
    features, parts = tiny_features(), accelerator(precision)
    model = tiny_classifier() if model is None else model
    return Trainer(
        Feed(model, "sequence_classification", 0, parts.autocast, settings.train.padding),
        features,
        settings,
        build_timeline(settings, 0.5, len(features)),
        seed=5,
        accelerator=parts,
        context=MemoryContext(folder),  # type: ignore[arg-type]
    )


def scored_by(name: str, **changes: Any) -> Recipe:
    known = SCORERS[name].options.model_fields
    options = {key: value for key, value in SMALL.items() if key in known}
    if SCORERS[name].units:
        changes |= {"structure": "heads+neurons"}
    return recipe(
        scorer=name,
        scorer_options=checked_options(SCORERS[name], options),
        sparsity_schedule={"kind": "one_shot", "at": "3it"},
        **changes,
    )


@contextmanager
def watched(model: Any) -> Iterator[set[torch.dtype]]:
    """Types of what Linear layers give out, and of the gradients that come back to them."""
    seen: set[torch.dtype] = set()

    def note(module: Any, inputs: Any, output: torch.Tensor) -> None:
        seen.add(output.dtype)
        if output.requires_grad:
            output.register_hook(lambda gradient: seen.add(gradient.dtype))

    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    handles = [module.register_forward_hook(note) for module in linear]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("padding", ["none", "dynamic"])
@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("name", sorted(n for n, s in SCORERS.items() if s.method is None))
def test_scorers_see_float32_in_every_precision(
    name: str, precision: str, padding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New scorers are picked up by themselves."""
    train = {"duration": "6it", "batch": 8, "clip": 1.0, "dropout": 0.1, "padding": padding}
    run = built(precision, scored_by(name, train=train), tmp_path)
    told: set[torch.dtype] = set()
    gradients, moments = Calibration.gradients, Calibration.input_moments

    def told_gradients(*args: Any, **more: Any) -> Iterator[dict[str, torch.Tensor]]:
        for found in gradients(*args, **more):
            told.update(tensor.dtype for tensor in found.values())
            yield found

    def told_moments(*args: Any) -> dict[str, torch.Tensor]:
        found = moments(*args)
        told.update(tensor.dtype for tensor in found.values())
        return found

    def told_gates(*args: Any) -> dict[str, torch.Tensor]:
        found = gate_gradients(*args)
        told.update(tensor.dtype for tensor in found.values())
        return found

    monkeypatch.setattr(calibration, "gate_gradients", told_gates)
    monkeypatch.setattr(Calibration, "gradients", told_gradients)
    monkeypatch.setattr(Calibration, "input_moments", told_moments)
    inside: set[torch.dtype] = set()
    prune = run.pruner.prune

    def looked_at(event: Any) -> Any:
        with watched(run.raw) as seen:
            found = prune(event)
        inside.update(seen)
        return found

    run.pruner.prune = looked_at  # type: ignore[method-assign]
    run.reach(3)
    with watched(run.raw) as training:
        run.run()
    assert HALF[precision] in training
    expected = set() if name in PLAIN else {torch.float32}
    assert inside == expected
    assert told == expected


@pytest.mark.parametrize("precision", HALF)
def test_fisher_gradients_are_those_of_a_float32_model(precision: str, tmp_path: Path) -> None:
    """Of a model that a Trainer holds, against the same weights alone, one row at a time."""
    run = built(precision, scored_by("obert"), tmp_path)
    run.reach(2)
    names = [name for name, _ in run.raw.named_parameters() if name.endswith("dense.weight")]
    names = [name for name in names if "encoder" in name]
    probe = Calibration(run.objective, 3, 7)
    found = list(probe.gradients(names, 3, 8, train=False))
    alone = tiny_classifier().eval()
    alone.load_state_dict(run.raw.state_dict())
    for chosen, gradients in zip(probe.batches(3, 8), found, strict=True):
        alone.zero_grad()
        for index in chosen:
            row = run.features[index]
            ids, label = torch.tensor([row["input_ids"]]), torch.tensor([row["label"]])
            (alone(input_ids=ids, labels=label).loss / len(chosen)).backward()
        for name in names:
            expected = alone.get_parameter(name).grad
            assert expected is not None
            torch.testing.assert_close(gradients[name], expected, rtol=1e-4, atol=1e-7)


def test_float32_holds_inside_somebody_elses_autocast(tmp_path: Path) -> None:
    run = built("bf16", scored_by("snip"), tmp_path)
    probe, name = Calibration(run.objective, 3, 7), "bert.encoder.layer.0.intermediate.dense.weight"
    (plain,) = probe.gradients([name], 1, 8, train=False)
    with torch.autocast("cpu", torch.bfloat16):
        (inside,) = probe.gradients([name], 1, 8, train=False)
    assert torch.equal(plain[name], inside[name])


@pytest.mark.parametrize("precision", HALF)
def test_a_trainer_leaves_the_model_as_it_was(precision: str, tmp_path: Path) -> None:
    model = tiny_classifier()
    before = {**vars(model)}
    run = built(precision, recipe(), tmp_path, model)
    assert run.raw is model
    assert set(vars(model)) == set(before)
    assert "forward" not in vars(model)


@pytest.mark.parametrize("precision", HALF)
def test_predictions_are_float32_in_every_precision(precision: str, tmp_path: Path) -> None:
    """Metrics, and a teacher's logits, which are made by the same function."""
    run = built(precision, recipe(), tmp_path)
    run.reach(3)
    alone = tiny_classifier().eval()
    alone.load_state_dict(run.raw.state_dict())
    with watched(run.raw) as seen:
        found = predict(run.objective.feed, run.features, 5)
    assert seen == {torch.float32}
    for row, (logits,) in zip(run.features, found, strict=True):
        expected = alone(input_ids=torch.tensor([row["input_ids"]])).logits[0]
        torch.testing.assert_close(torch.from_numpy(logits), expected.detach())


def test_the_environment_does_not_divide_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = built("fp32", recipe(), tmp_path / "a")
    alone.run()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    other = built("fp32", recipe(), tmp_path / "b")
    other.run()
    for a, b in zip(alone.raw.parameters(), other.raw.parameters(), strict=True):
        assert torch.equal(a, b)
