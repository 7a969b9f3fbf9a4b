"""Batched algebra on the blocks of a Fisher matrix and of its inverse, in place.

Shapes: n blocks of B weights, c gradients at a time; m gradients in all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smc_bench.engine.pruning.obert.slices import by_parts
from smc_bench.engine.pruning.obert.symmetric import Symmetric
from smc_bench.errors import DivergedError


def rank_one_update(inverse: Tensor, gradients: Tensor, count: int) -> None:
    """F^-1 <- F^-1 - (F^-1 g)(F^-1 g)^T / (m + g^T F^-1 g), gradient by gradient, in place.

    Args:
        inverse: [n, B, B].
        gradients: [n, c, B].
        count: m.
    """
    for gradient in gradients.unbind(1):
        step = torch.bmm(inverse, gradient.unsqueeze(2))
        scale = count + torch.bmm(gradient.unsqueeze(1), step)
        inverse.baddbmm_(step / scale, step.transpose(1, 2), alpha=-1)


def woodbury_update(inverse: Tensor, gradients: Tensor, count: int) -> None:
    """F^-1 <- F^-1 - F^-1 G^T (m I + G F^-1 G^T)^-1 G F^-1 for a chunk, in place.

    Args:
        inverse: [n, B, B].
        gradients: G, [n, c, B].
        count: m.

    Raises:
        DivergedError: If the matrix in the middle is not positive definite.
    """

    def update(part: slice) -> None:
        some = gradients[part]
        step = torch.bmm(some, inverse[part])
        middle = torch.bmm(step, some.mT)
        middle.diagonal(dim1=1, dim2=2).add_(count)
        root = torch.linalg.solve_triangular(cholesky(middle), step, upper=False)
        inverse[part].baddbmm_(root.mT, root, alpha=-1)

    by_parts(len(inverse), update, inverse.device)


def invert_sum(outer: Symmetric, count: int, dampening: float) -> None:
    """Turn sums of g g^T, n of [B, B], into (lambda I + sum / m)^-1, in place.

    Raises:
        DivergedError: If a block is not positive definite.
    """

    def invert(part: slice) -> None:
        fisher = outer[part] / count
        fisher.diagonal(dim1=1, dim2=2).add_(dampening)
        outer[part] = torch.cholesky_inverse(cholesky(fisher))

    by_parts(len(outer), invert, outer.device)


def cholesky(matrices: Tensor) -> Tensor:
    """Lower Cholesky factors.

    Raises:
        DivergedError: If a matrix is not positive definite.
    """
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(matrices)
    if bool(info.any()):
        raise DivergedError(
            "a block of the Fisher matrix is not positive definite: gradients are not finite, or "
            "too large for the dampening"
        )
    return factor
