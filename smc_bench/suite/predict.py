"""How long cells will take, from those that are done: seconds a step, and what comes around it.

The model, on purpose a simple one:

- Cells of one *shape* (model, task, lengths, batch, padding, precision, scorer, distillation) on
  one machine with the same threads take the same time for a step, pruning events and checkpoints
  included, and the same time around training (features, teacher outputs, evaluation, saving).
- Where no cell of that shape is done, the nearest one by FLOPs stands in: forward FLOPs of a step
  are proportional to batch x sequences a row x maximal length x Linear weights, time to these, and
  speed to threads. That is rough (real sequences are shorter, threads do not scale so well), and
  said where it is used.

Steps are nominal ones (:func:`smc_bench.suite.length.steps_of`) on both sides, so what a task's
windows add cancels out. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from smc_bench.suite.cell import Cell
from smc_bench.suite.estimate import ENCODERS
from smc_bench.suite.length import steps_of
from smc_bench.tasks.specs import SPECS

Shape = tuple[object, ...]


@dataclass(frozen=True)
class Timing:
    """What one cell took.

    Attributes:
        cell: The cell.
        threads: Threads it had.
        train: Seconds in training.
        around: Seconds of the attempt outside training; None for a cell that still trains.
        weights: Linear weights of its encoder, as its record counts them; None if not known.
    """

    cell: Cell
    threads: int
    train: float
    around: float | None = None
    weights: int | None = None


@dataclass(frozen=True)
class Predicted:
    """What a cell should take, in seconds.

    ``basis``: ``measured`` from cells of its shape and threads, or ``scaled`` by FLOPs from others.
    """

    train: float
    around: float
    basis: Literal["measured", "scaled"]

    @property
    def total(self) -> float:
        """All of the attempt."""
        return self.train + self.around


def shape_of(cell: Cell) -> Shape:
    """What cells must have in common for their steps to take equally long."""
    recipe, train = cell.recipe, cell.recipe.train
    prunes = recipe.sparsity_schedule is not None
    method = (recipe.scorer, repr(sorted(recipe.scorer_options.items()))) if prunes else None
    return (
        cell.model_pin,
        cell.task,
        train.batch,
        train.batching,
        train.padding,
        train.precision,
        train.rows,
        recipe.evaluation,
        recipe.distillation is not None,
        method,
    )


class Predictor:
    """Predicts cells from timings; see the module's text for how."""

    def __init__(self, timings: Iterable[Timing]) -> None:
        """Sort timings by shape."""
        self.timings = list(timings)
        self._by_shape: dict[tuple[Shape, int], list[Timing]] = {}
        self._weights: dict[str, int] = {}
        self._nearest: dict[tuple[Shape, int], Timing] = {}
        self._known: dict[tuple[str, int], Predicted | None] = {}
        for timing in self.timings:
            key = (shape_of(timing.cell), timing.threads)
            self._by_shape.setdefault(key, []).append(timing)
            if timing.weights is not None:
                self._weights[timing.cell.model_pin] = timing.weights

    def predict(self, cell: Cell, threads: int) -> Predicted | None:
        """What a cell should take with so many threads; None where nothing comparable is done."""
        key = (cell.id, threads)
        if key not in self._known:
            self._known[key] = self._predict(cell, threads) if self.timings else None
        return self._known[key]

    def _predict(self, cell: Cell, threads: int) -> Predicted | None:
        same = self._by_shape.get((shape_of(cell), threads))
        if same:
            rate = sum(t.train for t in same) / sum(steps_of(t.cell) for t in same)
            return Predicted(rate * steps_of(cell), _mean_around(same), "measured")
        return self._scaled(cell, threads)

    def _scaled(self, cell: Cell, threads: int) -> Predicted | None:
        # Cells of one shape have the same nearest timing: looked for once.
        key = (shape_of(cell), threads)
        if key not in self._nearest:
            self._nearest[key] = min(self.timings, key=lambda t: self._distance(t, cell, threads))
        nearest = self._nearest[key]
        if self._distance(nearest, cell, threads)[0] == math.inf:
            return None
        ratio = self._ratio(nearest, cell) * nearest.threads / threads
        rate = nearest.train / steps_of(nearest.cell)
        batches = nearest.cell.recipe.train.batch / cell.recipe.train.batch
        around = _mean_around([nearest]) * ratio * batches
        return Predicted(ratio * rate * steps_of(cell), around, "scaled")

    def _distance(self, timing: Timing, cell: Cell, threads: int) -> tuple[float, int, bool]:
        """Least for a timing of nearly as many FLOPs a step; then for threads, then the task."""
        other = timing.cell
        if other.recipe.train.precision != cell.recipe.train.precision:
            return math.inf, 0, False
        ratio = self._ratio(timing, cell)
        away = abs(math.log(ratio)) if ratio else math.inf
        return away, abs(timing.threads - threads), shape_of(other) != shape_of(cell)

    def _ratio(self, timing: Timing, cell: Cell) -> float:
        """FLOPs of a step of ``cell`` over those of a timed one; 0 where a size is not known."""
        one, other = self._weights_of(cell), self._weights_of(timing.cell)
        if cell.model_pin == timing.cell.model_pin:
            one = other = 1
        if not one or not other:
            return 0.0
        return _tokens(cell) * one / (_tokens(timing.cell) * other)

    def _weights_of(self, cell: Cell) -> int | None:
        known = ENCODERS.get(cell.model)
        return self._weights.get(cell.model_pin) or (known.weights if known else None)


def _tokens(cell: Cell) -> int:
    """Tokens of a step, were all sequences of the task's full length."""
    spec = SPECS[cell.task.name]
    # A multiple-choice row is a sequence for each choice.
    sequences = spec.labels if spec.family == "multiple_choice" else 1
    return cell.recipe.train.batch * sequences * cell.task.max_length


def _mean_around(timings: list[Timing]) -> float:
    known = [timing.around for timing in timings if timing.around is not None]
    return sum(known) / len(known) if known else 0.0
