from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.engine.pruning.obert.obs import saliency_of, solve_small
from tests.helpers.matrices import symmetric


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_a_zero_outside_the_cheapest_set_does_not_get_in(seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    root = torch.randn(3, 4, 4, generator=noise)
    blocks, weight = root @ root.mT + 0.1 * torch.eye(4), torch.randn(12, generator=noise)
    weight[::4] = 0.0
    found = saliency_of(weight, symmetric(blocks), "2:4", 0.0).view(3, 4)
    assert bool((found.sort(dim=1).values.diff(dim=1)[:, 1] > 0).all())


@given(seed=st.integers(0, 100), size=st.integers(1, 8))
@settings(deadline=None, max_examples=20)
def test_small_systems(seed: int, size: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    root = torch.randn(5, 3, size, size, generator=noise, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(size)
    vector = torch.randn(5, 3, size, generator=noise, dtype=torch.float64)
    assert torch.allclose(solve_small(matrix, vector), torch.linalg.solve(matrix, vector))
