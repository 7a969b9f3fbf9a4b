"""The Task contract: rows → features → (model) → outputs → scores.

A new task is one class of about sixty lines and a line in the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from smc_bench.errors import CorruptDataError
from smc_bench.tasks.specs import Family, TaskSpec

if TYPE_CHECKING:  # plan and status read records, and nothing of arrays
    import numpy as np
    from numpy.typing import NDArray

Row: TypeAlias = dict[str, Any]
"""One row with the Hub's column names."""

Feature: TypeAlias = dict[str, Any]
"""Model input of one sequence (or window, or set of choices), unpadded Python lists.

Keys: ``input_ids`` (list of ints; for multiple choice a list of such lists, one a choice),
``token_type_ids`` of the same shape where the tokenizer makes them, ``example`` (index of the row),
and the target: ``label`` (int, or float for regression) or ``start`` and ``end`` (token positions).
For a language model the targets are tokens of ``input_ids`` itself: a decoder is scored on those
from ``scored_from`` on (at least 1); an encoder-decoder reads the first ``read`` and is scored on
the rest.
"""

Texts: TypeAlias = "tuple[NDArray[np.str_], ...]"
"""The one text that a language model wrote for a feature, as an array of shape (1,)."""

Outputs: TypeAlias = "Sequence[tuple[NDArray[Any], ...]]"
"""What the model said of each feature, in feature order: one 1-D array a head, without padding.

Classification, regression and multiple choice have one head, ``(logits,)`` of shape (labels,);
spans have two, ``(start, end)``, each of shape (tokens of the window,). Language modelling has
``(nats, peak)``, each of shape (scored tokens,): minus the log probability of each token, and the
log probability of the likeliest one there. What a model wrote is one text, :data:`Texts`.
"""

Head = Literal[
    "sequence_classification", "multiple_choice", "question_answering", "language_modelling"
]

HEADS: dict[Family, Head] = {
    "classification": "sequence_classification",
    "regression": "sequence_classification",
    "multiple_choice": "multiple_choice",
    "span": "question_answering",
    "language_modelling": "language_modelling",
    "generation": "language_modelling",
}
"""The head that a family's own class has."""


@dataclass(frozen=True)
class Encoding:
    """How long sequences are cut.

    Attributes:
        max_length: Tokens of a sequence or window, special tokens included.
        stride: Tokens that neighbouring windows share (spans only).
    """

    max_length: int
    stride: int = 0


@dataclass(frozen=True)
class Scores:
    """Metrics without split suffix (percent, unless the spec says else), and what was said by row.

    ``correct`` holds one number a row (1/0 for accuracy, token F1 in 0..1 for spans, the squared
    error for regression): the material of paired comparisons. ``gold`` holds one reference a row
    where that is one number: without it a correlation has no interval. ``weights`` says how much
    each row counts where they do not count alike: scored tokens of a text, of which ``correct``
    then holds the summed nats.
    """

    metrics: dict[str, float]
    predictions: list[Any] = field(default_factory=list)
    correct: list[float] = field(default_factory=list)
    gold: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


class Task(ABC):
    """Turns rows into features and outputs into scores. Stateless; holds only its spec.

    Attributes:
        head: What is put on the model.
        new_tokens: Tokens that a language model may write for each feature, which are then what is
            scored; 0 where it is scored on what texts say.
    """

    head: Head
    new_tokens: int = 0

    def __init__(self, spec: TaskSpec) -> None:
        """Bind the implementation to one spec (families serve several tasks)."""
        self.spec = spec

    def check(self, rows: Sequence[Row]) -> None:
        """See that all rows of a split can be used, before anything is trained on them.

        Raises:
            CorruptDataError: One can't; names the row (from 0) and the column.
        """
        for index, row in enumerate(rows):
            self.check_row(index, row)

    def check_row(self, index: int, row: Row) -> None:
        """See that one row can be used; a task of one's own may ask for more than columns.

        Raises:
            CorruptDataError: It can't; names the row and the column.
        """
        for column in self.spec.columns:
            if column not in row:
                raise CorruptDataError(f"{self.spec.name}: row {index} has no column {column!r}")

    @abstractmethod
    def features(
        self, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
    ) -> list[Feature]:
        """Tokenise rows (a fast tokenizer); targets matter for training only."""

    @abstractmethod
    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """Official metrics of ``outputs``, which answer ``features`` made from ``rows``."""

    @abstractmethod
    def trivial(self, rows: Sequence[Row]) -> dict[str, float]:
        """Metrics (percent) of the best answer that ignores the input: chance or majority."""

    def baseline(
        self,
        rows: Sequence[Row],
        features: Sequence[Feature],
        outputs: Outputs,
        seen: Sequence[Feature],
        vocabulary: int,
    ) -> dict[str, float]:
        """What :meth:`trivial` gives, or more where that takes what was trained on.

        Args:
            rows: Rows of an evaluation split.
            features: Made from them.
            outputs: Of these features.
            seen: Features that were trained on.
            vocabulary: Tokens that there are.
        """
        return self.trivial(rows)
