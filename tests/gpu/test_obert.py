"""oBERT's inverse on a GPU against its definition in float64 on the CPU."""

from __future__ import annotations

import pytest
import torch

from smc_bench.engine.pruning.obert.fisher import Estimate, FisherSettings, Piece

pytestmark = pytest.mark.gpu

BLOCK, SIZE, COUNT, DAMPENING = 50, 130, 64, 1e-7


def test_the_inverse_is_that_of_the_definition(device: torch.device) -> None:
    """F = dampening I + mean of g g^T on each block (arXiv 2203.07259), inverted in float64."""
    torch.manual_seed(0)
    gradients = torch.randn(COUNT, SIZE) * 1e-2
    estimate = Estimate(Piece("w", 0, SIZE), FisherSettings(BLOCK, COUNT, DAMPENING), device)
    for gradient in gradients:
        estimate.add(gradient.to(device))
    found = estimate.finish().diagonal().reshape(-1)[:SIZE].double().cpu()
    for start in range(0, SIZE, BLOCK):
        part = gradients[:, start : start + BLOCK].double()
        fisher = part.T @ part / COUNT + DAMPENING * torch.eye(part.shape[1], dtype=torch.float64)
        expected = torch.linalg.inv(fisher).diagonal()
        torch.testing.assert_close(found[start : start + BLOCK], expected, rtol=1e-3, atol=0.0)
