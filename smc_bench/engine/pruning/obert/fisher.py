"""Inverse of the block-diagonal empirical Fisher matrix; tensors only, no models.

A parameter is flattened in row-major order and cut into consecutive blocks of B weights, the last
one padded with zeros. For each block (arXiv 2203.07259 section 3; sparseml modifier_pruning_obs):

    F = lambda I + (1/m) sum over m gradients of g g^T

The same F^-1 is had by different algebra:

- ``recursion``: a rank-one update for each gradient (Sherman-Morrison), as published. Reference.
- ``woodbury``: the same update for a chunk of c gradients at once.
- ``accumulate``: sum of G^T G by batched products, then one batched Cholesky inverse.
- ``diagonal``: for B = 1, F^-1 = 1 / (lambda + mean g^2).

``auto`` takes by cost: ``diagonal`` for B = 1; ``woodbury`` for at most B/4 gradients, where it
spares the B x B factorisation; else ``accumulate``, whose update is far cheaper than the others'.

And by accuracy: summed in float32, F^-1 has a relative error below eps tr(F - lambda I) / lambda
in a block (measured: a fifth of that on random blocks, a fiftieth on gradients of MiniLM). Before
the chunk with which some block of a piece would pass :data:`TOLERANCE`, the piece's sum goes on in
float64, of which only triangles are kept: about three times the cost in the same memory. Devices
without float64 go on by ``recursion`` from the inverse they have by then, with the published code's
own accuracy. (Woodbury in float32 is no way out: where F >> lambda its errors are several times the
recursion's.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from smc_bench.engine.pruning.obert.fisher_algebra import (
    invert_sum,
    rank_one_update,
    woodbury_update,
)
from smc_bench.engine.pruning.obert.slices import PART, workers
from smc_bench.engine.pruning.obert.symmetric import Symmetric
from smc_bench.errors import DivergedError

Algebra = Literal["auto", "recursion", "woodbury", "accumulate", "diagonal"]

TOLERANCE = 1e-3
"""Bound on the relative error of F^-1 by float32 rounding. This project's choice: a thirtieth of
the sampling error of m = 1024 gradients, 1/sqrt(m)."""

CHUNKS = (32, 16, 8)
"""Numbers of gradients that may be buffered: more is faster, fewer is smaller."""

_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Piece:
    """Weights ``start`` to ``stop`` of a flattened parameter; ``start`` is a multiple of B."""

    name: str
    start: int
    stop: int

    def of(self, tensor: Tensor) -> Tensor:
        """This piece of the whole parameter's tensor, flat."""
        return tensor.detach().reshape(-1)[self.start : self.stop]

    def blocks(self, block: int) -> int:
        """Number of blocks."""
        return math.ceil((self.stop - self.start) / block)


@dataclass(frozen=True)
class FisherSettings:
    """What defines F, and how its inverse is had.

    Attributes:
        block: Weights in a block, B.
        count: Gradients, m.
        dampening: lambda, above 0.
        chunk: Gradients buffered before an update, c.
        algebra: One of this module's ways.
    """

    block: int
    count: int
    dampening: float
    chunk: int = CHUNKS[0]
    algebra: Algebra = "auto"


class InverseFisher:
    """F^-1 of some pieces.

    Attributes:
        blocks: Inverse of each piece's blocks, n of [B, B], float32 or float64.
    """

    def __init__(self, blocks: dict[Piece, Symmetric]) -> None:
        self.blocks = blocks

    def diagonal(self, piece: Piece) -> Tensor:
        """Diagonal of F^-1 in float32, one entry for each weight of the piece, flat."""
        diagonal = self.blocks[piece].diagonal().reshape(-1)
        return diagonal[: piece.stop - piece.start].float()

    def product(self, piece: Piece, vector: Tensor) -> Tensor:
        """F^-1 v in v's dtype, for a flat v of the piece's length."""
        blocks = self.blocks[piece]
        flat = blocks.product(as_rows(vector, blocks.block)).flatten()
        return flat[: vector.numel()].to(vector.dtype)


def as_rows(flat: Tensor, block: int) -> Tensor:
    """A flat tensor as rows of one block each, [n, B]; the last one is padded with zeros."""
    return torch.nn.functional.pad(flat, (0, -flat.numel() % block)).view(-1, block)


def inverse_fisher(
    pieces: Sequence[Piece],
    gradients: Iterable[Mapping[str, Tensor]],
    settings: FisherSettings,
    masks: Mapping[str, Tensor] | None = None,
) -> InverseFisher:
    """Estimate F^-1 of some pieces from gradients.

    Args:
        pieces: Which weights.
        gradients: m gradients, each a tensor of the parameter's own shape by name.
        settings: What to compute and how.
        masks: Gradients are multiplied by the mask of their parameter where there is one.

    Raises:
        DivergedError: If a gradient is not finite, or F can't be inverted.
        ValueError: If the number of gradients is not ``settings.count``.
    """
    estimates: dict[Piece, Estimate] = {}
    seen = 0
    for gradient in gradients:
        for piece in pieces:
            flat = piece.of(gradient[piece.name])
            if piece not in estimates:
                estimates[piece] = Estimate(piece, settings, flat.device)
            mask = (masks or {}).get(piece.name)
            estimates[piece].add(flat, None if mask is None else piece.of(mask))
        seen += 1
        del gradient, flat  # else it stays while the next one is computed
    if seen != settings.count:
        raise ValueError(f"{settings.count} gradients were expected, {seen} were given")
    return InverseFisher({piece: estimate.finish() for piece, estimate in estimates.items()})


def state_bytes(blocks: int, block: int, chunk: int) -> int:
    """Peak bytes of :func:`inverse_fisher` over so many blocks, gradients of these included.

    State and, for B > 1, the buffer of c gradients; one gradient as the caller yields it; scratch
    of the workers.
    """
    scratch = min(blocks, _scratch_blocks()) * _scratch_each(block, chunk)
    return blocks * _bytes_each(block, chunk) + scratch


def blocks_within(budget: int, block: int, chunk: int) -> int:
    """The most blocks whose :func:`state_bytes` are within ``budget``, in bytes."""
    each, scratch = _bytes_each(block, chunk), _scratch_each(block, chunk)
    most = _scratch_blocks()
    if budget <= most * (each + scratch):
        return budget // (each + scratch)
    return (budget - most * scratch) // each


def _bytes_each(block: int, chunk: int) -> int:
    if block == 1:
        return 16
    return 4 * block * (block + 1 + chunk + 1) + 4


def _scratch_each(block: int, chunk: int) -> int:
    # Three float64 matrices and a triangle of an inverse, or a Woodbury update's float32 products.
    return 0 if block == 1 else 28 * block * block + 12 * chunk * block + 8 * chunk * chunk


def _scratch_blocks() -> int:
    return PART * workers()


class Estimate:
    """F^-1 of one piece, fed gradient by gradient."""

    def __init__(self, piece: Piece, settings: FisherSettings, device: torch.device) -> None:
        """Make the state before the first gradient."""
        self.piece, self.settings = piece, settings
        self.algebra = _cheapest(settings) if settings.algebra == "auto" else settings.algebra
        block, count = settings.block, piece.blocks(settings.block)
        self.filled = 0
        self.state = Symmetric(count, block, device)
        if self.algebra in ("recursion", "woodbury"):
            self.state.diagonal().fill_(1 / settings.dampening)
        if self.algebra != "diagonal":
            self.buffer = torch.zeros(settings.chunk, count * block, device=device)
            self.trace = torch.zeros(count, device=device)

    def add(self, flat: Tensor, mask: Tensor | None = None) -> None:
        """Take in one gradient of the piece, flat, multiplied by a mask where one is given."""
        if self.algebra == "diagonal":
            gradient = flat.float() if mask is None else flat.float() * mask
            self.state.diagonal().view(-1).addcmul_(gradient, gradient)
            return
        row = self.buffer[self.filled, : flat.numel()]
        torch.mul(flat, 1.0 if mask is None else mask, out=row)
        self.filled += 1
        if self.filled == self.settings.chunk:
            self._update()

    def finish(self) -> Symmetric:
        """F^-1, n of [B, B]; the estimate is used up."""
        if self.filled:
            self._update()
        if self.algebra == "diagonal":
            mean = self.state.diagonal().div_(self.settings.count)
            mean.add_(self.settings.dampening).reciprocal_()
        if self.algebra == "accumulate":
            invert_sum(self.state, self.settings.count, self.settings.dampening)
        return self.state

    def _update(self) -> None:
        shape = (self.filled, len(self.state), self.settings.block)
        chunk = self.buffer[: self.filled].view(shape).transpose(0, 1)  # [n, c, B]
        if self.algebra == "accumulate":
            self._keep_accurate(chunk)
        if self.algebra == "accumulate":
            self.state.add_outer(chunk)
        else:
            update = woodbury_update if self.algebra == "woodbury" else rank_one_update
            assert self.state.whole is not None
            update(self.state.whole, chunk, self.settings.count)
        self.filled = 0

    def _keep_accurate(self, chunk: Tensor) -> None:
        self.trace += torch.linalg.vector_norm(chunk, dim=(1, 2)).square()
        worst = float(self.trace.max())
        if not math.isfinite(worst):
            raise DivergedError(f"a gradient of {self.piece.name} is not finite")
        bound = _EPS * worst / self.settings.count / self.settings.dampening
        exact = self.state.whole is None
        if self.settings.algebra != "auto" or exact or bound <= TOLERANCE:
            return
        if self.state.device.type == "mps":  # has no float64
            invert_sum(self.state, self.settings.count, self.settings.dampening)
            self.algebra = "recursion"
        else:
            self.state.widen()


def _cheapest(settings: FisherSettings) -> Algebra:
    if settings.block == 1:
        return "diagonal"
    return "woodbury" if settings.count <= settings.block / 4 else "accumulate"
