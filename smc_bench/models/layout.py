"""How sequences of unequal length lie in a packed batch, and in the padded groups of attention.

What one more group costs is known, so the cheapest cut into groups of like length is found exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What one more group costs, in padded query-key pairs (a few small kernels a layer, measured on a
# CPU: a batch of 32 short sentences is one or two groups, 16 long windows are nearly 16).
_GROUP = 2048


@dataclass(frozen=True)
class Group:
    """Sequences of a batch that share one padded attention call.

    Attributes:
        count: Sequences, n.
        length: Slots of each, L.
        mask: True where a key is real, (n, 1, 1, L); None where all are.
    """

    count: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True)
class Layout:
    """How T tokens of n sequences, laid end to end, sit in padded slots.

    Attributes:
        lengths: Tokens of each sequence.
        slots: Slot of each token among those of all groups, (T,).
        total: Number of slots.
        groups: Groups of sequences, by falling length.
        places: Row-major position of each token in (n, longest), (T,).
    """

    lengths: tuple[int, ...]
    slots: Tensor
    total: int
    groups: tuple[Group, ...]
    places: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Layout:
        """The cheapest layout of sequences of these lengths."""
        sizes = np.asarray(lengths, dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        order = np.argsort(-sizes, kind="stable")
        slots = np.empty(int(sizes.sum()), dtype=np.int64)
        groups, at, used = [], 0, 0
        for count in split(sizes[order]):
            members = order[at : at + count]
            longest = int(sizes[members[0]])
            for row, member in enumerate(members):
                begin, size = starts[member], sizes[member]
                slots[begin : begin + size] = used + row * longest + np.arange(size)
            real = np.arange(longest)[None, :] < sizes[members][:, None]
            mask = None if real.all() else torch.from_numpy(real[:, None, None, :]).to(device)
            groups.append(Group(count, longest, mask))
            at, used = at + count, used + count * longest
        rows = np.repeat(np.arange(len(sizes)), sizes)
        places = np.arange(len(slots)) - starts[rows] + rows * int(sizes.max())
        return cls(
            tuple(int(size) for size in sizes),
            torch.from_numpy(slots).to(device),
            used,
            tuple(groups),
            torch.from_numpy(places).to(device),
        )

    @property
    def real(self) -> Tensor:
        """True at real positions of (n, longest)."""
        longest = max(self.lengths)
        flat = torch.zeros(len(self.lengths) * longest, dtype=torch.bool, device=self.places.device)
        flat[self.places] = True
        return flat.view(len(self.lengths), longest)


def split(sizes: NDArray[np.int64]) -> list[int]:
    """Cut sequences, longest first, into groups of least padded attention.

    Args:
        sizes: Lengths in falling order, (n,).

    Returns:
        Sequences of each group; sum of n_g L_g^2 + a constant for each group is least, by dynamic
        programming over the ends of groups.
    """
    count = len(sizes)
    squares = sizes.astype(np.float64) ** 2
    best = np.zeros(count + 1)
    cut = np.zeros(count + 1, dtype=np.int64)
    for stop in range(1, count + 1):
        begin = np.arange(stop)
        costs = best[:stop] + (stop - begin) * squares[:stop] + _GROUP
        cut[stop] = int(np.argmin(costs))
        best[stop] = costs[cut[stop]]
    groups, stop = [], count
    while stop:
        groups.append(int(stop - cut[stop]))
        stop = int(cut[stop])
    return groups[::-1]


class _Place(torch.autograd.Function):
    """Rows to given places among zeros; places are unique, so the way back is a plain lookup."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, total: int) -> Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(total, *rows.shape[1:]).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grads[0].index_select(0, places), None, None


class _Take(torch.autograd.Function):
    """The other way: rows from unique places."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.total = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        grad = grads[0]
        return grad.new_zeros(ctx.total, *grad.shape[1:]).index_copy_(0, places, grad), None


def place(rows: Tensor, places: Tensor, total: int) -> Tensor:
    """``rows`` (n, ...) at unique ``places`` (n,) of ``total`` rows, zeros elsewhere."""
    placed: Tensor = _Place.apply(rows, places, total)  # type: ignore[no-untyped-call]
    return placed


def take(rows: Tensor, places: Tensor) -> Tensor:
    """Rows at unique ``places``, (n, ...): the other way round."""
    taken: Tensor = _Take.apply(rows, places)  # type: ignore[no-untyped-call]
    return taken
