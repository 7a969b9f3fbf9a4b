"""Optimal Brain Surgeon on the blocks of an inverse Fisher matrix (arXiv 2203.07259 section 3).

Pruning the weights Q of one block costs 1/2 w_Q^T ([F^-1]_QQ)^-1 w_Q, and the others best change by
-F^-1 E_Q ([F^-1]_QQ)^-1 w_Q.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor

from smc_bench.engine.pruning.obert.fisher import as_rows
from smc_bench.engine.pruning.obert.fisher_algebra import cholesky
from smc_bench.engine.pruning.obert.slices import by_parts
from smc_bench.engine.pruning.obert.symmetric import Symmetric
from smc_bench.engine.pruning.structures import UNSTRUCTURED, kept_of, row_multiple

_LARGEST_PATTERN = 8


def saliency_of(weight: Tensor, blocks: Symmetric, structure: str, eps: float) -> Tensor:
    """Saliency of flat weights.

    - ``unstructured``: w_i^2 / (2 [F^-1]_ii + eps), as in sparseml.
    - ``block4``: the cost of the four together, the same for each of them.
    - ``N:M``: of all sets of M - N weights of a group the one that costs least is found; its
      members share its cost, the others have that and their own cost besides, so that the least
      salient M - N are that set. The paper has no N:M: this is its group formula applied to sets
      of choice. Above M = 8 weights count one by one.

    Args:
        weight: Flat, of at most n B weights.
        blocks: F^-1, n of [B, B].
        structure: ``unstructured``, ``block4`` or ``N:M``.
        eps: Added to the denominator where weights count one by one.
    """
    pattern, size = kept_of(structure), row_multiple(structure)
    diagonal = blocks.diagonal()
    rows = as_rows(weight, blocks.block)
    alone = rows.square() / (2 * diagonal + eps).to(weight.dtype)
    if structure == UNSTRUCTURED or size > _LARGEST_PATTERN:
        return alone.flatten()[: weight.numel()]
    going = size if pattern is None else pattern[1] - pattern[0]
    found = torch.empty_like(alone).view(len(rows), -1, size)

    def score(part: slice) -> None:
        values = rows[part].view(-1, rows.shape[1] // size, size)
        found[part] = _group_saliency(values, diagonal_groups(blocks[part], size), going)

    by_parts(len(rows), score, weight.device)
    return found.flatten()[: weight.numel()]


def _group_saliency(values: Tensor, inverse: Tensor, going: int) -> Tensor:
    """Shares of the least cost of pruning ``going`` weights of each group, [p, groups, size]."""
    size = values.shape[-1]
    sets = torch.tensor(list(combinations(range(size), going)), device=values.device)
    costs = []
    for chosen in sets:
        some = values[..., chosen].to(inverse.dtype)
        matrix = inverse[..., chosen[:, None], chosen[None, :]]
        costs.append((some * solve_small(matrix, some)).sum(-1) / 2)
    least, best = torch.stack(costs, dim=-1).min(dim=-1)
    member = torch.zeros(len(sets), size, dtype=torch.bool, device=values.device)
    member.scatter_(1, sets, True)
    alone = values.square() / (2 * inverse.diagonal(dim1=-2, dim2=-1))
    share = (least / going if going < size else least).unsqueeze(-1)
    low = share.to(values.dtype)
    above = torch.nextafter(low, torch.full_like(low, math.inf))  # where the sum rounds to no more
    return torch.where(member[best], low, (share + alone).to(values.dtype).maximum(above))


def multipliers(going: Tensor, pruned: Tensor, blocks: Symmetric, size: int, eps: float) -> Tensor:
    """The x of the update -F^-1 x that makes up for pruned weights, flat.

    Pruned weights of the same ``size`` consecutive ones are solved for together:
    x_P = ([F^-1]_PP)^-1 w_P, and 0 elsewhere.

    Args:
        going: Weights where they are newly pruned, 0 elsewhere; flat.
        pruned: True where they are newly pruned; flat.
        blocks: F^-1, n of [B, B].
        size: 1 takes each alone (sparseml's update), B the whole block, else groups.
        eps: Added to the diagonal where each is taken alone.
    """
    block = blocks.block
    rows, chosen = as_rows(going, block), as_rows(pruned, block)
    if size == 1:
        return (rows / (blocks.diagonal() + eps)).flatten()[: going.numel()]
    found = torch.zeros_like(rows)
    if size == block:
        _solve_blocks(rows, chosen, blocks, found)
    else:

        def solve(part: slice) -> None:
            shape = (-1, block // size, size)
            live = chosen[part].view(shape)
            both = live.unsqueeze(-1) & live.unsqueeze(-2)
            matrix = diagonal_groups(blocks[part], size) * both + torch.diag_embed(~live)
            solution = solve_small(matrix, rows[part].view(shape).to(matrix.dtype))
            found[part] = solution.to(found.dtype).reshape(found[part].shape)

        by_parts(len(rows), solve, rows.device)
    return found.flatten()[: going.numel()]


def _solve_blocks(rows: Tensor, chosen: Tensor, blocks: Symmetric, found: Tensor) -> None:
    """Solve each block for its own pruned weights, those with equally many side by side.

    The pruned weights of a block are gathered; blocks with fewer than the most of their part are
    filled up with rows of the identity.
    """
    counts = chosen.sum(dim=1)
    order = counts.argsort(stable=True)[int((counts == 0).sum()) :]

    def solve(part: slice) -> None:
        which = order[part]
        most = int(counts[which[-1]])
        first = chosen[which].to(torch.uint8).argsort(dim=1, descending=True, stable=True)
        at = first[:, :most]
        live = chosen[which].gather(1, at)
        taken = torch.arange(len(which), device=at.device)[:, None, None]
        matrix = blocks[which][taken, at[:, :, None], at[:, None, :]].to(_wide(rows))
        matrix = matrix * (live.unsqueeze(-1) & live.unsqueeze(-2)) + torch.diag_embed(~live)
        wanted = rows[which].gather(1, at).to(matrix.dtype).unsqueeze(-1)
        solution = torch.cholesky_solve(wanted, cholesky(matrix)).squeeze(-1)
        found[which] = torch.zeros_like(rows[which]).scatter_(1, at, solution.to(found.dtype))

    by_parts(len(order), solve, rows.device)


def diagonal_groups(blocks: Tensor, size: int) -> Tensor:
    """The size x size matrices along the diagonals of blocks, [p, B / size, size, size], wide."""
    count, block, _ = blocks.shape
    split = blocks.view(count, block // size, size, block // size, size)
    return split.diagonal(dim1=1, dim2=3).movedim(-1, 1).to(_wide(blocks))


def solve_small(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Solve many small positive definite systems by elimination, all of them at each step.

    A batched factorisation takes them one by one, which costs more than the arithmetic.

    Args:
        matrices: [..., k, k].
        vectors: [..., k].
    """
    left, right = matrices.clone(), vectors.clone()
    for pivot in range(vectors.shape[-1]):
        factor = left[..., pivot] / left[..., pivot, pivot].unsqueeze(-1)
        factor[..., pivot] = 0.0
        right -= factor * right[..., pivot].unsqueeze(-1)
        left -= factor.unsqueeze(-1) * left[..., pivot, :].unsqueeze(-2)
    return right / left.diagonal(dim1=-2, dim2=-1)


def _wide(like: Tensor) -> torch.dtype:
    return torch.float32 if like.device.type == "mps" else torch.float64  # mps has no float64
