"""First-order saliency of whole units.

I_S = E_x |dL_x / dxi_S|, xi_S a gate on the output of unit S (arXiv 1905.10650, eq. 2), over rows x
of the training split, in eval mode; per row, since derivatives of several rows cancel. ``squared``
takes E_x (dL_x / dxi_S)^2 instead (arXiv 1906.10771). ``normalise: layer`` divides by the l2 norm
over the units of a kind in a layer, as section 4.1 of the former does; a structure of whole layers
has one unit in each and is left as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smc_bench.engine.pruning.scorers.simple import Saliency, Statistics, Weights


def taylor(weights: Weights, statistics: Statistics) -> Saliency:
    """I_S, in equal shares on all weights of a unit; 0 on weights of no unit."""
    options, units = statistics.options, statistics.removable()
    power = 2 if options["squared"] else 1
    means = statistics.gate_means(options["batches"], options["batch"], power)
    if options["normalise"] == "layer":
        for name, group in units.by_name.items():
            if group.kind != "layer":
                means[name] = _normalised(means[name])
    return units.shared(means, weights)


def _normalised(values: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(values)
    return values / norm.clamp_min(torch.finfo(values.dtype).tiny)
