"""What the engine reads of a cell: it knows nothing of suites, which make them."""

from __future__ import annotations

from typing import Any, Protocol

from smc_bench.engine.recipe import Recipe


class TaskLike(Protocol):
    """The part of a cell's task settings that the engine reads."""

    name: str
    train_split: str
    eval_splits: tuple[str, ...]
    max_length: int
    stride: int
    held_back: int | None


class CellLike(Protocol):
    """What the engine reads of a cell (``smc_bench.suite.cell.Cell`` is one)."""

    @property
    def task(self) -> Any:
        """A :class:`TaskLike`."""

    @property
    def recipe(self) -> Recipe:
        """How it is trained and pruned."""

    @property
    def sparsity(self) -> float:
        """Target of the schedule."""

    @property
    def seed(self) -> int:
        """Seed of head, dropout and order."""

    @property
    def limit(self) -> int | None:
        """Optimizer steps after which training is cut short."""
