"""What each evaluation example adds to a cell's score: the material of paired comparisons.

How a score falls into parts is in :mod:`smc_bench.report.statistics.contributions`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from smc_bench.engine.context import HELD_BACK
from smc_bench.errors import DamagedError
from smc_bench.report.statistics.contributions import Kind, contributions, of_texts
from smc_bench.report.statistics.correlation import Correlation, correlations, gold_of, resampled
from smc_bench.report.statistics.stats import Floats
from smc_bench.store.files import content_sha256
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.tasks.specs import SPECS, TaskSpec

_UNREADABLE = (OSError, EOFError, zlib.error, RecursionError)

# A record keeps all digits of a score; anything further than rounding is another file.
_TOLERANCE = 1e-6

Rows = Mapping[str, Any]
"""What a cell says of one split, row by row: ``predictions``, ``correct``, perhaps ``gold`` or
``weights``."""


@dataclass(frozen=True)
class Parts:
    """A score in parts.

    Attributes:
        values: In points; their mean is the score, and the spread of that mean its error.
        examples: Evaluation examples that they stand for.
        source: Which rows they are of, and how parts were made: only equal sources can be paired.
    """

    values: Floats
    examples: int
    source: tuple[str, ...] = ()


class HasCells(Protocol):
    """A plan, or any other choice of cells."""

    @property
    def cells(self) -> Mapping[str, Cell]:
        """Cells by id."""


@dataclass(frozen=True)
class Chosen:
    """Cells that no plan names."""

    cells: Mapping[str, Cell]


class Examples:
    """Per-example parts of the scores of a plan's finished cells, read when asked for.

    Attributes:
        problems: Files that can't be read: what they would say counts as not known.
    """

    def __init__(
        self, plan: HasCells, store: Store, records: Mapping[str, Record] | None = None
    ) -> None:
        """Nothing is read yet; ``records`` are those that were read before."""
        self._cells, self._store, self._records = plan.cells, store, records or {}
        self._answers: dict[tuple[str, str], Any] = {}
        self.problems: list[str] = []
        self._read: dict[tuple[str, str], Parts | None] = {}

    def parts(self, cell_id: str, metric: str, score: float) -> Parts | None:
        """Parts of a cell's score.

        None where they are not known: no file, one that can't be read (see :attr:`problems`), or a
        metric that says nothing by example.

        Raises:
            DamagedError: If the file can be read, and another score follows from it.
        """
        key = (cell_id, metric)
        if key not in self._read:
            self._read[key] = self._parts(self._cells[cell_id], metric, score)
        return self._read[key]

    def for_speed(self, cell_id: str) -> bool:
        """Whether what a cell was pruned for is a speed, not a sparsity."""
        return self._cells[cell_id].recipe.target is not None

    def only_answer(self, cell_id: str, metric: str) -> Any:
        """The one answer that a cell gives to every example of a metric's split, else None."""
        cell = self._cells[cell_id]
        split = split_of(cell, metric)
        if split is None or SPECS[cell.task.name].family == "language_modelling":
            return None  # how well a text was predicted is no answer
        if (cell_id, split) not in self._answers:
            self._rows(cell, split)
        return self._answers.get((cell_id, split))

    def rows(self, cell_id: str, split: str) -> Rows | None:
        """What a cell says of a split, row by row; None where that is not known."""
        return self._rows(self._cells[cell_id], split)

    def _rows(self, cell: Cell, split: str) -> Rows | None:
        folder = self._store.folder(cell.folder)
        path = folder.path / "predictions.json.gz"
        record = self._records.get(cell.id) or folder.record()
        self._answers[cell.id, split] = None
        written = record.predictions_sha256 if record else ""
        if not path.exists():
            if written:
                self.problems.append(f"{path}: is gone, though record.json was written with it")
            return None
        try:
            splits = json.loads(gzip.decompress(path.read_bytes()))
            if written and content_sha256(splits) != written:
                raise ValueError("it was changed after the cell finished")
            rows: Rows = splits[HELD_BACK if cell.task.held_back else split]
            if len(rows["predictions"]) != len(rows["correct"]):
                raise ValueError("unequally many predictions and scores")
        except (*_UNREADABLE, ValueError, LookupError, TypeError) as error:
            self.problems.append(f"{path}: not the results of {split} by example: {error}")
            return None
        said = rows["predictions"]
        alike = len(said) > 0 and all(answer == said[0] for answer in said)
        self._answers[cell.id, split] = said[0] if alike else None
        return rows

    def _parts(self, cell: Cell, metric: str, score: float) -> Parts | None:
        found = source_of(cell, metric)
        rows = None if found is None else self._rows(cell, found[0])
        if found is None or rows is None:
            return None
        split, kind = found
        path = self._store.folder(cell.folder).path / "predictions.json.gz"
        try:
            if kind == "pearson" or kind == "spearman":
                values = _resampled(kind, rows, score)
            elif kind == "perplexity" or kind == "nats_per_token":
                values = of_texts(kind, rows["correct"], rows["weights"])
            else:
                values = contributions(kind, rows["predictions"], rows["correct"])
            if values is not None and values.ndim != 1:
                raise ValueError("more than one score an example")
        except (ValueError, TypeError, LookupError) as error:
            self.problems.append(f"{path}: not the results of {split} by example: {error}")
            return None
        slack = _TOLERANCE * max(1.0, abs(score) / 100.0)  # a perplexity can be any size
        follows = values is not None and len(values) and abs(values.mean() - score) <= slack
        if values is None or (kind == "exact" and not follows):
            return None
        if not follows:
            raise DamagedError(
                f"{path}: does not belong to record.json: another {metric} follows; the cell is "
                "left out (run it again with --force)"
            )
        # A limit takes the same rows for every cell, so equally many are the same ones.
        examples = len(rows["correct"])
        source = (split, cell.data_pins.get(split, ""), kind, str(examples))
        return Parts(values, examples, source)


def check_examples(store: Store, cell: Cell) -> None:
    """See that a finished cell's scores follow from its results by example.

    Raises:
        DamagedError: They do not, or the file with them can't be read.
    """
    record = store.folder(cell.folder).record()
    if record is None or cell.task.name not in SPECS:  # a task of one's own, not given here
        return
    examples = Examples(Chosen({cell.id: cell}), store)
    for metric, value in record.metrics.items():
        examples.parts(cell.id, metric, value)
    if examples.problems:
        raise DamagedError(examples.problems[0])


def metric_name(cell: Cell, split: str, name: str) -> str:
    """What a record calls a metric of a split: with the split's suffix where it has one."""
    suffixes = {known.name: known.suffix for known in SPECS[cell.task.name].eval_splits}
    return name + suffixes.get(split, "" if len(cell.task.eval_splits) == 1 else f"_{split}")


def split_of(cell: Cell, metric: str) -> str | None:
    """The split that a metric of a record is of."""
    for split in cell.task.eval_splits:
        if metric in (metric_name(cell, split, name) for name in SPECS[cell.task.name].metrics):
            return split
    return None


def source_of(cell: Cell, metric: str) -> tuple[str, Kind] | None:
    """Split and kind of a metric that says something by example."""
    spec, split = SPECS[cell.task.name], split_of(cell, metric)
    if split is None:
        return None
    name = next(name for name in spec.metrics if metric_name(cell, split, name) == metric)
    kind = _kind(spec, name)
    return None if kind is None else (split, kind)


def _kind(spec: TaskSpec, name: str) -> Kind | None:
    answers = spec.family in ("span", "generation")
    if name == "accuracy" or (answers and name == "f1"):
        return "mean"
    if answers and name == "exact_match":
        return "exact"
    two_classes = spec.family == "classification" and spec.labels == 2
    if two_classes and name in ("f1", "matthews_correlation"):
        return cast("Kind", name)
    if spec.family == "language_modelling" and name in ("perplexity", "nats_per_token"):
        return cast("Kind", name)
    if spec.family == "regression" and name in ("pearson", "spearman"):
        return cast("Kind", name)
    return None


def _resampled(kind: Correlation, rows: Rows, score: float) -> Floats | None:
    """Resamples of a correlation; None where the references are not known."""
    said = np.asarray(rows["predictions"], dtype=np.float64)
    errors = np.asarray(rows["correct"], dtype=np.float64)
    gold = np.asarray(rows.get("gold") or gold_of(said, errors), dtype=np.float64)
    same = len(gold) == len(said) and np.allclose((said - gold) ** 2, errors, atol=1e-6)
    if not same:
        raise ValueError("squared errors are not those of predictions and references")
    follows = 100.0 * float(correlations(kind, said, gold, np.ones((1, len(said))))[0])
    known = bool(rows.get("gold")) or abs(follows - score) <= _TOLERANCE
    return resampled(kind, said, gold, follows) if known else None
