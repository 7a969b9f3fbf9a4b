from __future__ import annotations

import numpy as np
import pytest
import torch

from smc_bench.engine.pruning.scorers.sparsegpt import inverse_factor, swept


def moment(size: int, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    x = torch.randn(64, size) @ torch.randn(size, size)
    return x.T @ x / len(x)


def obs_row(row: np.ndarray, mask: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Optimal brain surgeon for one row in float64: columns are fixed one after the other, and the
    inverse is that of the columns that are still free."""
    row = row.copy()
    for j in range(len(row)):
        inverse = np.linalg.inv(h[j:, j:])
        if not mask[j]:
            row[j:] -= row[j] / inverse[0, 0] * inverse[0]
    return np.where(mask, row, 0.0)


def damped(h: torch.Tensor) -> np.ndarray:
    h = h.double()
    return (h + 0.01 * h.diagonal().mean() * torch.eye(len(h))).numpy()


def test_factor_is_that_of_the_inverse() -> None:
    h = moment(12)
    u = inverse_factor(h).double()
    expected = np.linalg.inv(damped(h))
    np.testing.assert_allclose((u.T @ u).numpy(), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(u, u.triu())


def test_sweep_equals_surgery_by_explicit_inverses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smc_bench.engine.pruning.scorers.sparsegpt._COLUMNS", 5)
    h, weight = moment(12), torch.randn(5, 12)
    mask = torch.rand(5, 12) > 0.5
    found = swept(weight, mask, inverse_factor(h))
    for row, kept, ours in zip(weight, mask, found, strict=True):
        expected = obs_row(row.double().numpy(), kept.numpy(), damped(h))
        np.testing.assert_allclose(ours.numpy(), expected, rtol=2e-3, atol=2e-4)


def test_outputs_change_less_than_by_the_mask_alone() -> None:
    h, weight = moment(16, seed=4), torch.randn(8, 16)
    mask = torch.rand(8, 16) > 0.5
    found = swept(weight, mask, inverse_factor(h))

    def error(new: torch.Tensor) -> float:
        delta = (new - weight).double()
        return float((delta @ torch.from_numpy(damped(h)) * delta).sum())

    assert error(found) < error(weight * mask)
    assert not found[~mask].any()


def test_dead_inputs_are_no_trouble() -> None:
    factor = inverse_factor(torch.zeros(4, 4))
    assert bool(torch.isfinite(factor).all())
