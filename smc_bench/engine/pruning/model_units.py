"""A model's heads, neurons and layers as what masks choose among.

Units of one kind in one layer are a group; they lie side by side in their tensors, so that their
sums are those of equal runs of rows or columns. Of units of several sizes the least salient by
weight go first, as many as fit the count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from smc_bench.engine.pruning.masks import Masks, lowest, ranked
from smc_bench.engine.pruning.structures import unit_kinds
from smc_bench.engine.pruning.targets import UnitGroup, units_each
from smc_bench.engine.recipe import Recipe
from smc_bench.errors import ModelError
from smc_bench.models.units import Slice, Unit, UnitKind, units


@dataclass(frozen=True)
class Group:
    """Units of one kind in one layer.

    Attributes:
        kind: Of the units.
        layer: Number of the block.
        count: How many.
        size: Weights of each.
        members: The first unit's slices; the i-th unit's lie i widths further.
        outputs: Those members that read the units' activations.
    """

    kind: UnitKind
    layer: int
    count: int
    size: int
    members: tuple[Slice, ...]
    outputs: tuple[Slice, ...]

    @property
    def name(self) -> str:
        """Kind and layer, for people."""
        return f"{self.kind}s of layer {self.layer}"

    @classmethod
    def of(cls, found: list[Unit]) -> Group:
        """The group of units that lie side by side.

        Raises:
            ModelError: They do not, or are not of one size.
        """
        first = found[0]
        for index, unit in enumerate(found):
            shifted = tuple(_shifted(part, index) for part in first.members)
            if unit.members != shifted or unit.size != first.size:
                raise ModelError(f"the {unit.kind}s of layer {unit.layer} are not of one size")
        return cls(first.kind, first.layer, len(found), first.size, first.members, first.outputs)


def _shifted(part: Slice, index: int) -> Slice:
    width = part.stop - part.start
    return Slice(part.tensor, part.axis, part.start + index * width, part.stop + index * width)


class ModelUnits:
    """All units of some kinds of a model; a :class:`~smc_bench.engine.pruning.units.Units`.

    Attributes:
        by_name: Groups by name, in the model's order.
        groups: Their counts and sizes.
    """

    def __init__(self, found: Iterable[Unit]) -> None:
        """Sort units into groups.

        Raises:
            ModelError: There are none, or those of one kind and layer are not of one size.
        """
        by_kind = groupby(found, key=lambda unit: (unit.layer, unit.kind))
        made = [Group.of(list(same)) for _, same in by_kind]
        if not made:
            raise ModelError("this model has no units left to remove")
        self.by_name = {group.name: group for group in made}
        self.groups = [UnitGroup(g.name, g.count, g.size) for g in made]

    def sums(self, saliency: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Saliency of each unit in float64, (count,) by group; -inf where a weight is pruned."""
        return {name: self._sum(group, saliency) for name, group in self.by_name.items()}

    def _sum(self, group: Group, values: Mapping[str, Tensor]) -> Tensor:
        parts = []
        for part in group.members:
            lines = values[part.tensor].sum(1 - part.axis, dtype=torch.float64)
            parts.append(_runs(lines, part, group.count).sum(1))
        return torch.stack(parts).sum(0)

    def spread(self, losers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """For each tensor that holds units, True at the rows and columns of those that go.

        Rows and columns come as (rows, 1) and (1, columns), which broadcast over the tensor.
        """
        found: dict[str, Tensor] = {}
        for name, group in self.by_name.items():
            for part in group.members:
                gone = losers[name].repeat_interleave(part.stop - part.start)
                found[part.tensor] = gone[:, None] if part.axis == 0 else gone[None, :]
        return found

    def shared(self, values: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Saliencies of units in equal shares on all of their weights; 0 on weights of no unit.

        Args:
            values: (count,) by group.
            like: Tensors in scope.
        """
        found = {name: torch.zeros_like(tensor) for name, tensor in like.items()}
        for name, group in self.by_name.items():
            for part in group.members:
                width = part.stop - part.start
                lines = (values[name] / group.size).repeat_interleave(width)
                region = found[part.tensor].narrow(part.axis, part.start, group.count * width)
                region.copy_(lines[:, None] if part.axis == 0 else lines[None, :])
        return found

    def dead(self, zero: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Units all of whose weights are marked, by group.

        Args:
            zero: True at marked weights, by tensor.
        """
        marked = self.sums({name: zero[name] for name in self._tensors()})
        return {name: marked[name] == group.size for name, group in self.by_name.items()}

    def zeros(self, weights: Mapping[str, Tensor]) -> tuple[int, int]:
        """Weights of all units that are zero, and all."""
        marked = self.sums({name: weights[name] == 0 for name in self._tensors()})
        found = int(sum(float(values.sum()) for values in marked.values()))
        return found, sum(group.count * group.size for group in self.groups)

    def _tensors(self) -> set[str]:
        return {part.tensor for group in self.by_name.values() for part in group.members}


def _runs(lines: Tensor, part: Slice, count: int) -> Tensor:
    """Rows (or columns) of a tensor by unit, (count, width)."""
    width = part.stop - part.start
    return lines.narrow(0, part.start, count * width).view(count, width)


def units_of(model: Any, recipe: Recipe) -> ModelUnits | None:
    """The units that a recipe's structure removes; None for structures within tensors.

    Raises:
        ModelError: The architecture's units are not known.
    """
    kinds = unit_kinds(recipe.structure)
    return ModelUnits(units(model, kinds)) if kinds and recipe.sparsity_schedule else None


def remove_units(
    saliency: Mapping[str, Tensor], masks: Masks, found: ModelUnits, zeros: int, recipe: Recipe
) -> Masks:
    """New masks without the least salient units; what is pruned stays pruned.

    ``threshold: global``: units by rising saliency per weight, each that still fits: so the weights
    that are removed fall short of ``zeros`` by less than the smallest unit that stays.
    ``per_layer``: of each kind the same share in each layer, to the nearest unit.

    Args:
        saliency: Of each tensor in scope.
        masks: Current masks of the same tensors.
        found: The units.
        zeros: Weights that may go at most (``per_layer``: that are aimed at).
        recipe: Its threshold.

    Raises:
        DivergedError: If a saliency is not finite.
    """
    sums = found.sums({name: ranked(name, saliency[name], masks[name]) for name in saliency})
    if recipe.threshold == "per_layer":
        each = units_each(found.groups, zeros)
        losers = {n: lowest(sums[n], k)[0] for n, k in zip(sums, each, strict=True)}
    else:
        losers = _that_fit(sums, found.groups, zeros)
    gone = found.spread(losers)
    return {
        name: (~gone[name]).expand_as(mask).contiguous() if name in gone else torch.ones_like(mask)
        for name, mask in masks.items()
    }


def _that_fit(
    sums: Mapping[str, Tensor], groups: Iterable[UnitGroup], zeros: int
) -> dict[str, Tensor]:
    sizes = torch.cat([torch.full((group.count,), group.size) for group in groups])
    values = torch.cat(list(sums.values()))
    order = (values / sizes.to(values.device)).argsort(stable=True).tolist()
    weights, left = sizes.tolist(), zeros
    going = torch.zeros(len(weights), dtype=torch.bool)
    for index in order:
        if weights[index] <= left:
            left -= weights[index]
            going[index] = True
    parts = torch.split(going.to(values.device), [len(v) for v in sums.values()])
    return dict(zip(sums, parts, strict=True))
