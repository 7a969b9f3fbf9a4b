"""One sentence or a pair of them to a class or a number: GLUE, and the offline sentiment task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from smc_bench.tasks.base import Encoding, Feature, Head, Outputs, Row, Scores, Task
from smc_bench.tasks.metrics import percent
from smc_bench.tasks.rows import (
    bad_value,
    check_columns,
    is_integer,
    logits_of_rows,
    text_of,
    tokenized,
)

_UNLABELLED = "(a split without labels?)"


class Classification(Task):
    """Input form: ``[CLS] text [SEP]`` or ``[CLS] first [SEP] second [SEP]`` (arXiv 1810.04805).

    The texts are the columns of the spec but for ``label``, in their order.
    """

    head: Head = "sequence_classification"

    def features(
        self, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
    ) -> list[Feature]:
        """One feature a row; the longer text of a pair is cut first.

        Raises:
            CorruptDataError: A row lacks a column, a text or a label; names row and column.
        """
        targets = [self._target(index, row) for index, row in enumerate(rows)]
        read = [self._texts(index, row) for index, row in enumerate(rows)]
        columns = [[texts[i] for texts in read] for i in range(len(self.spec.columns) - 1)]
        inputs = tokenized(tokenizer, columns, truncation=True, max_length=encoding.max_length)
        return [
            {**ids, "example": i, "label": target}
            for i, (ids, target) in enumerate(zip(inputs, targets, strict=True))
        ]

    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """The task's official metrics of the most likely class.

        Raises:
            DivergedError: Logits are not finite.
            ValueError: There are no rows.
        """
        logits = logits_of_rows(self.spec, rows, features, outputs)
        said = [int(np.argmax(found)) for found in logits]
        gold = [int(self._target(index, row)) for index, row in enumerate(rows)]
        correct = [float(a == b) for a, b in zip(said, gold, strict=True)]
        return Scores(percent(self.spec.metrics, said, gold), said, correct)

    def trivial(self, rows: Sequence[Row]) -> dict[str, float]:
        """The best that one class for all rows reaches, for each metric apart."""
        gold = [int(self._target(index, row)) for index, row in enumerate(rows)]
        constant = [
            percent(self.spec.metrics, [label] * len(gold), gold)
            for label in range(self.spec.labels)
        ]
        return {name: max(found[name] for found in constant) for name in self.spec.metrics}

    def check_row(self, index: int, row: Row) -> None:
        """Texts and a label of the right kind."""
        self._target(index, row)
        self._texts(index, row)

    def _texts(self, index: int, row: Row) -> list[str]:
        columns = [column for column in self.spec.columns if column != "label"]
        return [text_of(self.spec, index, row, column) for column in columns]

    def _target(self, index: int, row: Row) -> int | float:
        check_columns(self.spec, index, row)
        label = row["label"]
        if not is_integer(label) or label not in range(self.spec.labels):
            wanted = f"a class from 0 to {self.spec.labels - 1} {_UNLABELLED}"
            raise bad_value(self.spec, index, "label", label, wanted)
        return int(label)


class Regression(Classification):
    """A pair of sentences to one number (STS-B: similarity from 0 to 5)."""

    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """Correlations times 100; ``correct`` holds squared errors.

        Raises:
            DivergedError: Outputs are not finite.
            ValueError: There are no rows.
        """
        said = [float(found[0]) for found in logits_of_rows(self.spec, rows, features, outputs)]
        gold = [float(self._target(index, row)) for index, row in enumerate(rows)]
        errors = [(a - b) ** 2 for a, b in zip(said, gold, strict=True)]
        return Scores(percent(self.spec.metrics, said, gold), said, errors, gold)

    def trivial(self, rows: Sequence[Row]) -> dict[str, float]:
        """A constant has no correlation with anything."""
        return dict.fromkeys(self.spec.metrics, 0.0)

    def _target(self, index: int, row: Row) -> float:
        check_columns(self.spec, index, row)
        label = row["label"]
        number = isinstance(label, int | float) and not isinstance(label, bool)
        if not number or not math.isfinite(label) or label < 0:
            raise bad_value(self.spec, index, "label", label, f"a similarity {_UNLABELLED}")
        return float(label)
