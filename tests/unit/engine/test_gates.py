"""Derivatives by gates against explicit gates: autograd, and finite differences in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.loss.model_inputs import Feed, Padding
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.engine.pruning.gates import gate_gradients
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.pruning.scorers.simple import Statistics
from smc_bench.engine.pruning.scorers.taylor import taylor
from smc_bench.models.units import Unit, units
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, tiny_features, trainer
from tests.helpers.shrinking import tiny

ROWS = [3, 0, 5, 7]
KINDS: dict[str, Any] = {"heads+neurons": ["head", "neuron"], "layers": ["layer"]}


def row_loss(model: Any, row: dict[str, Any], unit: Unit, gate: torch.Tensor) -> torch.Tensor:
    """Loss of one sequence, unpadded, with a unit's output scaled by an explicit gate."""
    handles = []
    for part in unit.outputs:

        def scale(module: Any, inputs: Any, part: Any = part) -> Any:
            factor = torch.ones(inputs[0].shape[-1], dtype=inputs[0].dtype)
            index = torch.arange(part.start, part.stop)
            return (inputs[0] * factor.index_put((index,), gate.expand(len(index))),)

        module = model.get_submodule(part.tensor.removesuffix(".weight"))
        handles.append(module.register_forward_pre_hook(scale))
    try:
        ids = torch.tensor([row["input_ids"]])
        loss: torch.Tensor = model(input_ids=ids, labels=torch.tensor([row["label"]])).loss
        return loss
    finally:
        for handle in handles:
            handle.remove()


def derivative(model: Any, row: dict[str, Any], unit: Unit) -> float:
    gate = torch.ones(1, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(row_loss(model, row, unit, gate), gate)
    return float(found)


def difference(model: Any, row: dict[str, Any], unit: Unit, step: float = 1e-5) -> float:
    with torch.no_grad():
        up, down = (
            row_loss(model, row, unit, torch.tensor([1 + side * step], dtype=torch.float64))
            for side in (1, -1)
        )
    return float(up - down) / (2 * step)


@pytest.mark.parametrize("padding", ["none", "dynamic"])
@pytest.mark.parametrize("structure", sorted(KINDS))
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_each_rows_derivative_is_that_of_an_explicit_gate(
    kind: str, structure: str, padding: Padding
) -> None:
    model = tiny(kind, layers=2, heads=4, groups=2, size=4, neurons=3).double()
    features = tiny_features()
    feed = Feed(model, "sequence_classification", 0, padding=padding)
    assert feed.padding == padding
    found = units(model, KINDS[structure])
    grouped = ModelUnits(found)
    got = gate_gradients(Objective(feed, features), grouped, ROWS)
    plain = tiny(kind, layers=2, heads=4, groups=2, size=4, neurons=3).double()
    assert len(torch.cat(list(got.values()), dim=1)[0]) == len(found)
    flat = torch.cat([got[name] for name in grouped.by_name], dim=1)
    for at, unit in enumerate(found):
        for row, index in enumerate(ROWS):
            wanted = derivative(plain, features[index], unit)
            assert float(flat[row, at]) == pytest.approx(wanted, rel=1e-8, abs=1e-11)
            if row == 0 and kind == "bert":  # LLaMA norms in float32 whatever the model is
                near = difference(plain, features[index], unit)
                assert wanted == pytest.approx(near, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("squared", [False, True])
def test_taylor_is_the_mean_over_rows_normalised_by_layer(squared: bool) -> None:
    model, features = tiny("bert", layers=2, heads=2, size=4, neurons=3).double(), tiny_features(12)
    feed = Feed(model, "sequence_classification", 0, padding="none")
    probe, found = Calibration(Objective(feed, features), seed=3, step=0), units(model)
    options = {"batches": 3, "batch": 4, "squared": squared, "normalise": "layer"}
    weights = {
        part.tensor: model.get_parameter(part.tensor) for unit in found for part in unit.members
    }
    statistics = Statistics(3, 0, options, evidence=probe, units=ModelUnits(found))
    saliency = taylor(weights, statistics)
    plain = tiny("bert", layers=2, heads=2, size=4, neurons=3).double()
    power = 2 if squared else 1
    means = {  # three batches of four are all twelve rows
        unit: sum(abs(derivative(plain, row, unit)) ** power for row in features) / 12
        for unit in found
    }
    for unit in found:
        same = [means[u] for u in found if (u.layer, u.kind) == (unit.layer, unit.kind)]
        wanted = means[unit] / sum(value**2 for value in same) ** 0.5
        got = sum(float(part.of(saliency[part.tensor]).sum()) for part in unit.members)
        assert got == pytest.approx(wanted, rel=1e-8)


def test_a_recipe_with_taylor_trains_and_resumes(tmp_path: Path) -> None:
    options = checked_options(SCORERS["taylor"], {"batches": 2, "batch": 4})
    cell = recipe(structure="heads+neurons", scorer="taylor", scorer_options=options)
    run = trainer(tiny_classifier(), cell, 0.5, MemoryContext(tmp_path))
    run.run()
    assert run.pruner.masks
    assert not run.raw.training or all(p.requires_grad for p in run.raw.parameters())
