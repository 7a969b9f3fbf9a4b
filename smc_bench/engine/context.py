"""What the engine is handed and what it hands back; no torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from smc_bench.engine.execution import Execution
from smc_bench.tasks.base import Row

HELD_BACK = "held_back"
"""What rows of the training split that were held back are called in an outcome."""


@dataclass(frozen=True)
class Progress:
    """Where a cell is: optimizer steps done, of how many, in which phase."""

    phase: str
    step: int
    total: int
    loss: float | None = None
    lr: float | None = None
    sparsity: float | None = None


@dataclass(frozen=True)
class Count:
    """Zeros among weights."""

    zeros: int
    total: int

    @property
    def share(self) -> float:
        """Zeros over total; 0 where there is nothing to count."""
        return self.zeros / self.total if self.total else 0.0


@dataclass(frozen=True)
class MeasuredSparsity:
    """Sparsity of the saved weights over the three denominators, and by component.

    ``scope`` and ``encoder`` count prunable weights (encoder: its Linear weights); ``model`` counts
    pruned weights over all parameters, biases and LayerNorm included; ``structure`` counts the
    weights of all units of a structure that removes whole units.
    """

    scope: Count
    encoder: Count
    model: Count
    components: dict[str, Count]
    structure: Count | None = None


@dataclass(frozen=True)
class Constancy:
    """Whether outputs depend on the input; see :mod:`smc_bench.engine.loss.constancy`."""

    rows: int
    all_equal: bool
    one_class: bool | None = None


@dataclass(frozen=True)
class SplitScores:
    """What one evaluation split says, row by row."""

    predictions: list[Any]
    correct: list[float]
    gold: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


class RunContext(Protocol):
    """The engine's only way to the outside: inputs, checkpoints, artefacts, progress."""

    execution: Execution

    def rows(self, split: str) -> Sequence[Row]:
        """All rows of a split, exactly those that the cell's pin names."""

    def model_folder(self) -> Path:
        """Local folder with the pretrained weights that the cell's pin names."""

    def teacher_folder(self) -> Path:
        """Local folder with the finished teacher's weights, checked against its record."""

    def teacher_key(self) -> dict[str, str]:
        """Id of the finished teacher and SHA-256 of its weights."""

    def shared(
        self, kind: str, split: str, key: dict[str, Any], make: Callable[[Path], None]
    ) -> Path:
        """Folder of something that other cells can use too; made once by whoever is first.

        Args:
            kind: What sort of thing it is.
            split: The split it is made from; its pin and the model's count beside ``key``.
            key: Everything else that its content follows from, as JSON.
            make: Writes files into an empty folder.

        Raises:
            Interrupted: If asked to stop while another process makes it.
        """

    def shares_prefix(self) -> bool:
        """Whether other cells share a prefix, so that the state before the first event is kept."""

    def newest_checkpoint(self) -> Path | None:
        """Folder of the newest complete checkpoint of any attempt."""

    def checkpoint_folder(self, step: int) -> Path:
        """An empty folder to write the checkpoint of ``step`` into."""

    def commit_checkpoint(self, folder: Path) -> None:
        """Declare a checkpoint complete; older ones may go."""

    def artifact(self, name: str) -> Path:
        """Path of a named result file or folder of this attempt."""

    def progress(self, now: Progress) -> None:
        """Tell where the cell is; cheap, called after every step."""

    def should_stop(self) -> bool:
        """Whether the cell was asked to stop at the next step."""
