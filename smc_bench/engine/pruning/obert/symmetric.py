"""Many symmetric matrices of one size: whole in float32, or their triangles in float64.

Both take about as much room, 4 B^2 bytes against 4 B (B + 1), so that sums which need more digits
than float32 has can go over to float64 where they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smc_bench.engine.pruning.obert.slices import by_parts


class Symmetric:
    """n symmetric matrices, [n, B, B], at first zero.

    Attributes:
        block: B.
        whole: The matrices as a float32 tensor, to be worked on in place; None after
            :meth:`widen`.
    """

    def __init__(self, count: int, block: int, device: torch.device) -> None:
        """Make zeros, with room beside each matrix for what its float64 triangle takes more."""
        self.block = block
        self._room = torch.zeros(count, block * (block + 1), device=device)
        square = self._room[:, : block * block]
        self.whole: Tensor | None = square.view(count, block, block)
        rows, columns = torch.tril_indices(block, block, device=device)
        self._of_whole = rows * block + columns
        self._of_triangle = torch.empty(block, block, dtype=torch.long, device=device)
        self._of_triangle[rows, columns] = torch.arange(len(rows), device=device)
        self._of_triangle[columns, rows] = self._of_triangle[rows, columns]

    def __len__(self) -> int:
        """Number of matrices, n."""
        return len(self._room)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self._room.device

    @property
    def _triangles(self) -> Tensor:
        return self._room.view(torch.float64)

    def widen(self) -> None:
        """Go over to float64, in place; there is no way back."""
        whole = self.whole
        if whole is None:
            return

        def convert(part: slice) -> None:
            square = whole[part].flatten(1)
            self._triangles[part] = square.index_select(1, self._of_whole).double()

        by_parts(len(self), convert, self.device)
        self.whole = None

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """Some of them, [p, B, B], float32 (a view, for a slice) or a float64 copy."""
        if self.whole is not None:
            return self.whole[which]
        some = self._triangles[which].index_select(1, self._of_triangle.flatten())
        return some.view(-1, self.block, self.block)

    def __setitem__(self, which: slice, matrices: Tensor) -> None:
        """Overwrite some of them; of [p, B, B] in float64 only lower triangles are read."""
        if self.whole is not None:
            self.whole[which] = matrices
        else:
            self._triangles[which] = matrices.flatten(1).index_select(1, self._of_whole)

    def add_outer(self, gradients: Tensor) -> None:
        """Add sums of g g^T over c gradients, [n, c, B], in the matrices' own precision."""
        if self.whole is not None:
            self.whole.baddbmm_(gradients.mT, gradients)
            return

        def add(part: slice) -> None:
            some = gradients[part].double()
            outer = torch.bmm(some.mT, some).flatten(1)
            self._triangles[part] += outer.index_select(1, self._of_whole)

        by_parts(len(self), add, self.device)

    def diagonal(self) -> Tensor:
        """Diagonals, [n, B]."""
        if self.whole is not None:
            return self.whole.diagonal(dim1=1, dim2=2)
        return self._triangles.index_select(1, self._of_triangle.diagonal())

    def product(self, vectors: Tensor) -> Tensor:
        """Each matrix times its vector, [n, B], in the matrices' dtype."""
        if self.whole is not None:
            return torch.bmm(self.whole, vectors.to(self.whole.dtype).unsqueeze(2)).squeeze(2)
        found = torch.empty(vectors.shape, dtype=torch.float64, device=self.device)

        def multiply(part: slice) -> None:
            found[part] = torch.bmm(self[part], vectors[part].double().unsqueeze(2)).squeeze(2)

        by_parts(len(self), multiply, self.device)
        return found
