"""Symmetric matrices for tests of what works on them."""

from __future__ import annotations

from torch import Tensor, float64

from smc_bench.engine.pruning.obert.symmetric import Symmetric


def symmetric(matrices: Tensor) -> Symmetric:
    """Copies of [n, B, B], in float32, or as float64 triangles if that is their dtype."""
    found = Symmetric(len(matrices), matrices.shape[1], matrices.device)
    if matrices.dtype == float64:
        found.widen()
    found[slice(None)] = matrices
    return found
