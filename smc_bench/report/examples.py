"""What each evaluation example adds to a cell's score: the material of paired comparisons.

A score that is a mean over examples (accuracy, SQuAD's F1) is the mean of their own scores. F1 of a
class and Matthews' correlation are smooth functions of four counts; there an example's part is the
score plus its influence on it (the infinitesimal jackknife: Efron, The Jackknife, the Bootstrap and
Other Resampling Plans, chapter 6), so that differences of means are again what counts.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Literal

import numpy as np

from smc_bench.errors import DamagedError
from smc_bench.report.stats import Floats
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.tasks.specs import SPECS, TaskSpec

Kind = Literal["mean", "f1", "matthews_correlation"]

# A record keeps all digits of a score; anything further than rounding is another file.
_TOLERANCE = 1e-6


class Examples:
    """Per-example parts of the scores of a plan's finished cells, read when asked for.

    Attributes:
        problems: Files that can't be read: what they would say counts as not known.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        """Nothing is read yet."""
        self._cells, self._store = plan.cells, store
        self.problems: list[str] = []
        self._read: dict[tuple[str, str], Floats | None] = {}

    def parts(self, cell_id: str, metric: str, score: float) -> Floats | None:
        """Parts of a cell's score in points, shape (examples,); their mean is the score.

        None where they are not known: no file, one that can't be read (see :attr:`problems`), or a
        metric that says nothing by example.

        Raises:
            DamagedError: If the file can be read, and another score follows from it.
        """
        key = (cell_id, metric)
        if key not in self._read:
            self._read[key] = self._parts(self._cells[cell_id], metric, score)
        return self._read[key]

    def _parts(self, cell: Cell, metric: str, score: float) -> Floats | None:
        found = source_of(cell, metric)
        path = self._store.folder(cell.folder).path / "predictions.json.gz"
        if found is None or not path.exists():
            return None
        split, kind = found
        try:
            rows = json.loads(gzip.decompress(path.read_bytes()))[split]
            parts = contributions(kind, rows["predictions"], rows["correct"])
        except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
            self.problems.append(f"{path}: not the results of {split} by example: {error}")
            return None
        if not parts.size or not abs(float(parts.mean()) - score) <= _TOLERANCE:
            raise DamagedError(
                f"{path}: does not belong to record.json: another {metric} follows; the cell is "
                "left out (run it again with --force)"
            )
        return parts


def source_of(cell: Cell, metric: str) -> tuple[str, Kind] | None:
    """Split and kind of a metric that says something by example."""
    spec = SPECS[cell.task.name]
    suffixes = {split.name: split.suffix for split in spec.eval_splits}
    for split in cell.task.eval_splits:
        alone = "" if len(cell.task.eval_splits) == 1 else f"_{split}"
        for name in spec.metrics:
            if f"{name}{suffixes.get(split, alone)}" == metric:
                kind = _kind(spec, name)
                return None if kind is None else (split, kind)
    return None


def _kind(spec: TaskSpec, name: str) -> Kind | None:
    if name == "accuracy" or (spec.family == "span" and name == "f1"):
        return "mean"
    two_classes = spec.family == "classification" and spec.labels == 2
    if two_classes and name == "f1":
        return "f1"
    return "matthews_correlation" if two_classes and name == "matthews_correlation" else None


def contributions(kind: Kind, predictions: list[int], correct: list[float]) -> Floats:
    """Parts of a score in points, shape (examples,), with the score as their mean.

    Args:
        kind: The score.
        predictions: Class 0 or 1 of each example (not used for ``mean``).
        correct: Score of each example, 0..1.
    """
    right = np.asarray(correct, dtype=np.float64)
    if kind == "mean":
        return 100.0 * right
    said = np.asarray(predictions, dtype=np.int64)
    gold = np.where(right == 1.0, said, 1 - said)
    cell = 2 * gold + said  # 0 true negative, 1 false positive, 2 false negative, 3 true positive
    counts = np.bincount(cell, minlength=4).astype(np.float64)
    score, slopes = _f1(counts) if kind == "f1" else _matthews(counts)
    return 100.0 * (score + len(cell) * slopes[cell])


def _f1(counts: Floats) -> tuple[float, Floats]:
    """F1 of class 1 and its slope in each count; the slopes sum to 0 over the examples."""
    _, fp, fn, tp = counts
    total = 2.0 * tp + fp + fn
    if not total:
        return 0.0, np.zeros(4)
    wrong = -2.0 * tp / total**2
    return 2.0 * tp / total, np.array([0.0, wrong, wrong, 2.0 * (fp + fn) / total**2])


def _matthews(counts: Floats) -> tuple[float, Floats]:
    """Matthews' correlation and its slope in each count; 0 where one side is constant."""
    tn, fp, fn, tp = counts
    said, gold, not_said, not_gold = tp + fp, tp + fn, tn + fn, tn + fp
    root = np.sqrt(said * gold * not_said * not_gold)
    if not root:
        return 0.0, np.zeros(4)
    score = float((tp * tn - fp * fn) / root)
    slopes = np.array([tp, -fn, -fp, tn]) / root
    sides = [
        1.0 / not_said + 1.0 / not_gold,
        1.0 / said + 1.0 / not_gold,
        1.0 / gold + 1.0 / not_said,
        1.0 / said + 1.0 / gold,
    ]
    return score, slopes - 0.5 * score * np.array(sides)
