"""Which units go where a model is to be so fast: the least saliency that fits a budget of time.

Per layer and kind the units of least saliency go, so that what is left to choose is how many: a
knapsack with one choice a group, solved exactly by dynamic programming over ticks of a table of
latencies (as ZipLM does: arXiv 2302.04089, after SPDY, arXiv 2201.13096).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.engine.pruning.masks import Masks, ranked
from smc_bench.engine.pruning.model_units import Group, ModelUnits
from smc_bench.engine.pruning.structures import UnitKind
from smc_bench.errors import AuditError, ModelError

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What a group may become.

    Attributes:
        worth: Saliency of its units in rising order, those already removed first; (count,).
        ticks: Its time by units that go, from none to all; (count + 1,).
        gone: Units that are removed already.
    """

    worth: Numbers
    ticks: npt.NDArray[np.int64]
    gone: int


def remove_for_speed(
    saliency: Mapping[str, Tensor],
    masks: Masks,
    found: ModelUnits,
    target: SpeedTarget,
    sparsity: float,
) -> Masks:
    """New masks of a model whose predicted time fits; what is pruned stays pruned.

    A saliency below zero counts as zero.

    Args:
        saliency: Of each tensor in scope.
        masks: Current masks of the same tensors.
        found: The units.
        target: With its table.
        sparsity: Share of the dense model's time that is to be gone.

    Raises:
        DivergedError: If a saliency is not finite.
        ModelError: The table is of another architecture, or there is no such choice.
    """
    table = target.measured
    check_table(table, found)
    sums = found.sums({name: ranked(name, saliency[name], masks[name]) for name in saliency})
    order = {name: values.argsort(stable=True) for name, values in sums.items()}
    options = [
        _options(sums[name][order[name]], table.ticks(group.kind))
        for name, group in found.by_name.items()
    ]
    counts = least_loss(options, target.budget(sparsity) - _fixed(table, found))
    losers = {}
    for (name, ranks), count in zip(order.items(), counts, strict=True):
        losers[name] = torch.zeros_like(ranks, dtype=torch.bool)
        losers[name][ranks[:count]] = True
    gone = found.spread(losers)
    return {
        name: (~gone[name]).expand_as(mask).contiguous() if name in gone else torch.ones_like(mask)
        for name, mask in masks.items()
    }


def _options(rising: Tensor, ticks: Sequence[int]) -> Options:
    values = rising.cpu().numpy()
    gone = int(np.isneginf(values).sum())
    return Options(np.maximum(values, 0.0), np.asarray(ticks[::-1], np.int64), gone)


def least_loss(groups: Sequence[Options], budget: int) -> list[int]:
    """How many units of each group go, so that the sum of their saliency is least.

    Units that would still fit are put back where saliencies of zero let several choices be best.

    Args:
        groups: What each may become.
        budget: Ticks for all of them together.

    Raises:
        ModelError: Not even without all units does it fit.
    """
    if budget < sum(int(group.ticks[-1]) for group in groups):
        raise ModelError("the units left can't be removed fast enough: the speed is out of reach")
    best: Numbers = np.zeros(budget + 1)
    chosen = []
    for group in groups:
        losses = np.concatenate([[0.0], np.cumsum(group.worth)])
        new: Numbers = np.full(budget + 1, np.inf)
        taken = np.zeros(budget + 1, np.int64)
        for count in _worth_a_look(group):
            ticks = int(group.ticks[count])
            if ticks > budget:
                continue
            total = best[: budget + 1 - ticks] + losses[count]
            better = total < new[ticks:]
            new[ticks:][better] = total[better]
            taken[ticks:][better] = count
        chosen.append(taken)
        best = new
    left, counts = budget, [0] * len(groups)
    for index in reversed(range(len(groups))):
        counts[index] = int(chosen[index][left])
        left -= int(groups[index].ticks[counts[index]])
    return _filled(groups, counts, left)


def _worth_a_look(group: Options) -> list[int]:
    """Of counts that take the same time the fewest, from the fewest units removed on."""
    counts = range(group.gone, len(group.ticks))
    return [n for n in counts if n == group.gone or group.ticks[n] < group.ticks[n - 1]]


def _filled(groups: Sequence[Options], counts: list[int], left: int) -> list[int]:
    while True:
        fits = [
            i
            for i, (group, n) in enumerate(zip(groups, counts, strict=True))
            if n > group.gone and group.ticks[n - 1] - group.ticks[n] <= left
        ]
        if not fits:
            return counts
        index = max(fits, key=lambda i: groups[i].worth[counts[i] - 1])
        counts[index] -= 1
        left -= int(groups[index].ticks[counts[index]] - groups[index].ticks[counts[index] + 1])


def _fixed(table: LatencyTable, found: ModelUnits) -> int:
    """Ticks of what the structure leaves alone."""
    kinds = {group.kind for group in found.by_name.values()}
    none: dict[UnitKind, list[int]] = {kind: [0] * table.layers for kind in kinds}
    return table.predicted(none)


def check_table(table: LatencyTable, found: ModelUnits) -> None:
    """Fail where a table is not of a model's architecture.

    Raises:
        ModelError: Naming what differs.
    """
    by_kind: dict[UnitKind, list[Group]] = {}
    for group in found.by_name.values():
        by_kind.setdefault(group.kind, []).append(group)
    for kind, groups in by_kind.items():
        there = [group.count for group in groups]
        if there != [table.count(kind)] * table.layers:
            raise ModelError(
                f"the table of latencies is of {table.layers} layers of {table.count(kind)} "
                f"{kind}s, the model has {there}: measure one of this model"
            )


def left_by_layer(dead: Mapping[str, Tensor], found: ModelUnits) -> dict[UnitKind, list[int]]:
    """Units that are left in each layer, by kind.

    Args:
        dead: True for each removed unit, by group.
        found: The units.
    """
    left: dict[UnitKind, list[int]] = {}
    for name, group in found.by_name.items():
        left.setdefault(group.kind, []).append(group.count - int(dead[name].sum()))
    return left


def check_speed(
    dead: Mapping[str, Tensor], found: ModelUnits, target: SpeedTarget, sparsity: float, where: str
) -> None:
    """The audit: removed units make the model as fast as promised, and hardly faster.

    Of the units removed last one at least would not fit if it were put back: units that an earlier
    event removed stay away, even where they would fit later.

    Raises:
        AuditError: Naming what is wrong.
    """
    table, budget = target.measured, target.budget(sparsity)
    left = left_by_layer(dead, found)
    taken = table.predicted(left)
    at = f"{where}: predicted {table.dense / taken:.4f} times as fast, but"
    if taken > budget:
        raise AuditError(f"{at} {1 / (1 - sparsity):.4f} is the target")
    back = []
    for kind, counts in left.items():
        ticks = table.ticks(kind)
        back += [ticks[n + 1] - ticks[n] for n in counts if n + 1 < len(ticks)]
    if back and max(back) <= budget - taken:
        raise AuditError(f"{at} each unit that was removed still fits {1 / (1 - sparsity):.4f}")
