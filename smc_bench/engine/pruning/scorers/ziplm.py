"""Optimal brain surgeon for whole units, with compensation (ZipLM, arXiv 2302.04089, section 3.1).

A unit S is a set of columns of the projection W (out, in) that reads it, H = E[x xT] + damping of
the projection's inputs. Removing it, the others made up for it, changes the outputs by
rho_S = sum over rows of W_S ([H^-1]_SS)^-1 W_S^T. Once units are chosen, the weights that stay
become W H_:K (H_KK)^-1 with K the columns that stay: the least-squares solution, which is what the
paper's updates come to, one unit after another. Removed columns are left out of H beforehand.

One thing differs: the paper scores anew after each removal and searches over layers' sizes by a
latency table. Here scores are worked out once for each slice of a pruning event (``recomputations``
raises their number), and the recipe's threshold chooses; where it has a target in speed, one
knapsack over a latency table does (:mod:`smc_bench.engine.pruning.speed`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.model_units import Group
from smc_bench.engine.pruning.scorers.simple import Scored, Statistics, Weights
from smc_bench.errors import SuiteError

_DAMPING = 0.01  # of the mean diagonal, as for sparsegpt


def ziplm(weights: Weights, statistics: Statistics) -> Scored:
    """rho_S, in equal shares on all weights of a unit, and the compensation.

    Raises:
        SuiteError: The units are whole layers, which no single projection reads.
    """
    options, units = statistics.options, statistics.removable()
    readers = {}
    for name, group in units.by_name.items():
        if len(group.outputs) != 1:
            raise SuiteError("ziplm scores heads and neurons, not layers: take another scorer")
        readers[name] = group.outputs[0].tensor
    moments = statistics.input_moments(list(readers.values()), options["batches"], options["batch"])
    damped = {name: _damped(moments[name]) for name in readers.values()}

    def alive(tensor: str, masks: Masks) -> Tensor:
        if tensor not in masks:
            return torch.ones(len(damped[tensor]), dtype=torch.bool, device=damped[tensor].device)
        return masks[tensor].any(0)

    values = {
        name: unit_errors(
            weights[tensor].detach(),
            damped[tensor],
            alive(tensor, statistics.masks),
            units.by_name[name],
        )
        for name, tensor in readers.items()
    }

    def compensate(masks: Masks) -> None:
        for tensor in readers.values():
            weight, stay = weights[tensor].detach(), alive(tensor, masks)
            if not torch.equal(stay, alive(tensor, statistics.masks)):
                weight.copy_(refitted(weight, damped[tensor], stay))

    return Scored(units.shared(values, weights), compensate)


def _damped(moment: Tensor) -> Tensor:
    h = moment.double()
    damping = _DAMPING * h.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    return h + damping * torch.eye(len(h), dtype=h.dtype, device=h.device)


def unit_errors(weight: Tensor, h: Tensor, alive: Tensor, group: Group) -> Tensor:
    """rho_S of each unit of a group in float64, (count,); 0 where columns are removed already.

    Args:
        weight: (out, in) of the projection.
        h: Damped second moment of its inputs, (in, in), float64.
        alive: Columns that are still there, (in,).
        group: Units, as columns of the weight.
    """
    part = group.outputs[0]
    width = part.stop - part.start
    kept = alive.nonzero().flatten()
    inverse = torch.zeros_like(h)
    inverse[kept[:, None], kept] = torch.cholesky_inverse(
        torch.linalg.cholesky(h[kept[:, None], kept])
    )
    found = torch.zeros(group.count, dtype=torch.float64, device=h.device)
    for index in range(group.count):
        columns = slice(part.start + index * width, part.start + (index + 1) * width)
        if bool(alive[columns].all()):
            own = weight[:, columns].double()
            found[index] = (own * torch.linalg.solve(inverse[columns, columns], own.T).T).sum()
    return found


def refitted(weight: Tensor, h: Tensor, stay: Tensor) -> Tensor:
    """The weight with the columns that stay fitted by least squares, the others zero.

    Args:
        weight: (out, in).
        h: Damped second moment of its inputs, (in, in), float64.
        stay: Columns that stay, (in,).
    """
    kept = stay.nonzero().flatten()
    new = torch.zeros_like(weight)
    if len(kept):
        factor = torch.linalg.cholesky(h[kept[:, None], kept])
        right = (weight.double() @ h[:, kept]).T
        new[:, kept] = torch.cholesky_solve(right, factor).T.to(weight.dtype)
    return new
