"""Errors and compensation of removed units against least squares on the inputs themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smc_bench.engine.pruning.model_units import ModelUnits, units_of
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.pruning.scorers.ziplm import refitted, unit_errors
from smc_bench.models.units import units
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer
from tests.helpers.shrinking import tiny

ROWS = 200


def problem() -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    """A projection of 4 heads of 8, correlated inputs, and H of inputs with damping as rows."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(ROWS, 32)) @ random.normal(size=(32, 32))
    damping = np.sqrt(0.3 * ROWS) * np.eye(32)
    rows = np.concatenate([inputs, damping])  # ridge regression as plain least squares
    weight = torch.from_numpy(random.normal(size=(5, 32)))
    return weight, rows, torch.from_numpy(rows.T @ rows / ROWS)


def least_squares(
    weight: torch.Tensor, rows: np.ndarray, stay: np.ndarray
) -> tuple[np.ndarray, float]:
    """The best weight whose other columns are zero, and its squared error."""
    wanted = rows @ weight.numpy().T
    solution = np.zeros((32, len(weight)))
    solution[stay] = np.linalg.lstsq(rows[:, stay], wanted, rcond=None)[0]
    error = float(((rows @ solution - wanted) ** 2).sum() / ROWS)
    return solution.T, error


def heads() -> ModelUnits:
    return ModelUnits(units(tiny("bert", layers=1, heads=4, size=8), ["head"]))


@pytest.mark.parametrize("gone", [(), (2,), (0, 3)])
def test_errors_are_those_of_the_best_weights_without_the_unit(gone: tuple[int, ...]) -> None:
    weight, rows, h = problem()
    (group,) = heads().by_name.values()
    alive = torch.ones(32, dtype=torch.bool)
    for unit in gone:
        alive[8 * unit : 8 * unit + 8] = False
    weight = torch.from_numpy(least_squares(weight, rows, alive.numpy())[0])
    found = unit_errors(weight, h, alive, group)
    for unit in range(4):
        stay = alive.numpy().copy()
        stay[8 * unit : 8 * unit + 8] = False
        wanted = 0.0 if unit in gone else least_squares(weight, rows, stay)[1]
        assert float(found[unit]) == pytest.approx(wanted, rel=1e-9)


def test_compensation_is_least_squares_at_once_or_one_by_one() -> None:
    weight, rows, h = problem()
    stay = torch.ones(32, dtype=torch.bool)
    stay[:8] = stay[16:24] = False
    wanted, _ = least_squares(weight, rows, stay.numpy())
    first = torch.ones(32, dtype=torch.bool)
    first[:8] = False
    together = refitted(weight, h, stay)
    np.testing.assert_allclose(together.numpy(), wanted, rtol=0, atol=1e-10)
    in_turn = refitted(refitted(weight, h, first), h, stay)
    np.testing.assert_allclose(in_turn.numpy(), wanted, rtol=0, atol=1e-10)
    assert not bool(refitted(weight, h, torch.zeros(32, dtype=torch.bool)).any())


def test_a_recipe_with_ziplm_moves_what_stays_and_removes_units(tmp_path: Path) -> None:
    options = checked_options(SCORERS["ziplm"], {"batches": 2, "batch": 4})
    cell = recipe(
        structure="heads+neurons", scorer="ziplm", scorer_options=options, recomputations=2
    )
    run = trainer(tiny_classifier(), cell, 0.5, MemoryContext(tmp_path))
    before = {name: tensor.clone() for name, tensor in run.raw.state_dict().items()}
    run.pruner.prune(run.timeline.events[0])
    after, masks = run.raw.state_dict(), run.pruner.masks
    found = units_of(run.raw, cell)
    assert found is not None
    gone = found.dead({name: ~mask for name, mask in masks.items()})
    assert any(bool(dead.any()) for dead in gone.values())
    for name, group in found.by_name.items():
        tensor = group.outputs[0].tensor
        moved = bool((before[tensor] != after[tensor])[masks[tensor]].any())
        assert moved == (bool(gone[name].any()) and not bool(gone[name].all()))
