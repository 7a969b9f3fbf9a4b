"""Units: weights that are kept or pruned together, as masks are chosen.

The joint for structures. A unit has a saliency, the sum of its weights'; units compete under the
recipe's threshold, and what is decided of a unit holds for all its weights. Units of one kind are
of one size, so that an exact count of units is an exact count of weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Units(Protocol):
    """A partition of tensors into units, in groups within which a layer's threshold compares."""

    def sums(self, saliency: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Saliency of each unit, by group.

        Args:
            saliency: By tensor, of its shape; -inf where a weight is pruned.
        """

    def spread(self, losers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """True for each weight of the units that go, by tensor.

        Args:
            losers: True for each unit that goes, by group, shaped as :meth:`sums` gives them.
        """


class RowBlocks:
    """Each ``size`` consecutive weights of a row are a unit, each tensor a group."""

    def __init__(self, size: int) -> None:
        """Take a power of two; 1 is single weights."""
        self.size = size

    def sums(self, saliency: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(rows, columns) to (rows, columns / size)."""
        return {name: self._sum(values) for name, values in saliency.items()}

    def _sum(self, values: Tensor) -> Tensor:
        # In pairs, so that four equal ones, as oBERT gives a group, add up without rounding.
        size = self.size
        while size > 1:
            values, size = values[..., ::2] + values[..., 1::2], size // 2
        return values

    def spread(self, losers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(rows, columns / size) to (rows, columns)."""
        return {name: gone.repeat_interleave(self.size, dim=-1) for name, gone in losers.items()}
