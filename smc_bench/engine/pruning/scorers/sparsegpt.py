"""One-shot pruning in the manner of SparseGPT (arXiv 2301.00774, algorithm 1).

Each row of a Linear layer is pruned so that its outputs on calibration inputs change least, with
the layer's H = E[x xT] + damping. With the upper Cholesky factor U of H⁻¹, U_jj² is the j-th
diagonal of the inverse once the columns before j are fixed; the error of removing w_j is
(w_j / U_jj)², and the columns after j make up for it by -w_j / U_jj U_j,j+1:.

One thing differs: the paper chooses masks in blocks of 128 columns while it sweeps, here they are
chosen once, by whatever threshold the recipe says, before the sweep.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.scorers.simple import Scored, Statistics, Weights

_DAMPING = 0.01  # of the mean diagonal: ``percdamp`` of the authors' code
_COLUMNS = 128  # of a block in the sweep: moves the last bits only


def sparsegpt(weights: Weights, statistics: Statistics) -> Scored:
    """Saliency (w_j / U_jj)² and the sweep that makes up for what goes."""
    options = statistics.options
    moments = statistics.input_moments(list(weights), options["batches"], options["batch"])
    factors = {name: inverse_factor(moment) for name, moment in moments.items()}
    saliency = {n: (w.detach() / factors[n].diagonal()) ** 2 for n, w in weights.items()}

    def compensate(masks: Masks) -> None:
        for name, weight in weights.items():
            weight.detach().copy_(swept(weight.detach(), masks[name], factors[name]))

    return Scored(saliency, compensate)


def inverse_factor(moment: Tensor) -> Tensor:
    """Upper U with UᵀU = (moment + damping)⁻¹, worked out in float64.

    Args:
        moment: (in, in), symmetric.
    """
    h = moment.double()
    # A dead input (no activation at all) would leave the matrix singular.
    damping = _DAMPING * h.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    h = h + damping * torch.eye(len(h), dtype=h.dtype, device=h.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor.to(moment.dtype)


def swept(weight: Tensor, mask: Tensor, factor: Tensor) -> Tensor:
    """The weight (out, in) with masked entries zero and the others made up, column by column.

    What a block of columns owes to all the columns behind it is paid at once, by one product.
    """
    new = weight.clone()
    columns = new.shape[1]
    for start in range(0, columns, _COLUMNS):
        stop = min(start + _COLUMNS, columns)
        errors = torch.zeros_like(new[:, start:stop])
        for column in range(start, stop):
            error = (new[:, column] / factor[column, column]).masked_fill(mask[:, column], 0.0)
            new[:, column:stop] -= error[:, None] * factor[column, column:stop]
            errors[:, column - start] = error
        new[:, stop:] -= errors @ factor[start:stop, stop:]
    return new.masked_fill_(~mask, 0.0)
