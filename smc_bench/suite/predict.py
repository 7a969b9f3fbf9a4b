"""How long cells will take, from those that are done: seconds a step, and what comes around it.

The model, on purpose a simple one:

- Cells of one *shape* (model, task, lengths, batch, padding, precision, scorer, distillation) on
  one machine with the same threads take the same time for a step, pruning events and checkpoints
  included, and the same time around training (features, teacher outputs, evaluation, saving).
- Where no cell of that shape is done, the nearest one by FLOPs stands in: forward FLOPs of a step
  are proportional to batch x sequences a row x maximal length x Linear weights, time to these, and
  speed to threads. That is rough (real sequences are shorter, threads do not scale so well), and
  said where it is used.

A scorer's gradients count as the steps that they amount to in rows, taken once an event (a Fisher
estimate made in several passes takes longer). Steps are nominal ones
(:func:`smc_bench.suite.length.steps_of`) on both sides, so what a task's windows add cancels out.
No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from smc_bench.suite.cell import Cell
from smc_bench.suite.estimate import ENCODERS
from smc_bench.suite.length import steps_of, timeline_of
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
        spared: Steps that another cell took for it.
    """

    cell: Cell
    threads: int
    train: float
    around: float | None = None
    weights: int | None = None
    spared: int = 0


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


@dataclass(frozen=True)
class _Group:
    """Timings of one shape and number of threads: seconds a step, and around training."""

    example: Cell
    rate: float
    around: float

    @classmethod
    def of(cls, same: list[Timing]) -> _Group:
        rate = sum(t.train for t in same) / sum(_units(t.cell, t.spared) for t in same)
        around = [t.around for t in same if t.around is not None]
        return cls(same[0].cell, rate, sum(around) / len(around) if around else 0.0)


class Predictor:
    """Predicts cells from timings; see the module's text for how."""

    def __init__(self, timings: Iterable[Timing], spared: Mapping[str, int] | None = None) -> None:
        """Sort timings by shape; ``spared`` has steps that cells to predict need not take."""
        self.timings, self.spared = list(timings), spared or {}
        self._weights: dict[str, int] = {}
        self._known: dict[tuple[str, int], Predicted | None] = {}
        by_shape: dict[tuple[Shape, int], list[Timing]] = {}
        for timing in self.timings:
            by_shape.setdefault((shape_of(timing.cell), timing.threads), []).append(timing)
            if timing.weights is not None:
                self._weights[timing.cell.model_pin] = timing.weights
        self._groups = {key: _Group.of(same) for key, same in by_shape.items()}

    def predict(self, cell: Cell, threads: int) -> Predicted | None:
        """What a cell should take with so many threads; None where nothing comparable is done."""
        key = (cell.id, threads)
        if key not in self._known:
            self._known[key] = self._predict(cell, threads) if self.timings else None
        return self._known[key]

    def _predict(self, cell: Cell, threads: int) -> Predicted | None:
        shape = shape_of(cell)
        same = self._groups.get((shape, threads))
        if same is not None:
            return Predicted(same.rate * self._units(cell), same.around, "measured")
        return self._scaled(cell, shape, threads)

    def _scaled(self, cell: Cell, shape: Shape, threads: int) -> Predicted | None:
        best: tuple[tuple[float, int, bool], float, _Group] | None = None
        for (other, its_threads), group in self._groups.items():
            ratio = self._ratio(group.example, cell)
            if ratio:
                away = (abs(math.log(ratio)), abs(its_threads - threads), other != shape)
                if best is None or away < best[0]:
                    best = (away, ratio * its_threads / threads, group)
        if best is None:
            return None
        _, ratio, group = best
        a_row = ratio * group.example.recipe.train.batch / cell.recipe.train.batch
        return Predicted(ratio * group.rate * self._units(cell), a_row * group.around, "scaled")

    def _units(self, cell: Cell) -> float:
        return _units(cell, self.spared.get(cell.id, 0))

    def _ratio(self, timed: Cell, cell: Cell) -> float:
        """FLOPs of a step of ``cell`` over those of a timed one; 0 where nothing compares them."""
        if timed.recipe.train.precision != cell.recipe.train.precision:
            return 0.0
        if cell.model_pin == timed.model_pin:
            return _tokens(cell) / _tokens(timed)
        one, other = self._weights_of(cell), self._weights_of(timed)
        return _tokens(cell) * one / (_tokens(timed) * other) if one and other else 0.0

    def _weights_of(self, cell: Cell) -> int | None:
        known = ENCODERS.get(cell.model)
        return self._weights.get(cell.model_pin) or (known.weights if known else None)


def _units(cell: Cell, spared: int = 0) -> float:
    """What time goes by: optimizer steps, and a scorer's gradients as steps of as many rows.

    A cell that only prunes, by a scorer without gradients, takes the time of one step.
    """
    recipe, timeline = cell.recipe, timeline_of(cell)
    count, batch = (recipe.scorer_options.get(key) for key in ("gradients", "gradient_batch"))
    rows = 0.0
    if count == "epoch":
        rows = float(timeline.steps_per_epoch * recipe.train.batch)
    elif isinstance(count, int) and isinstance(batch, int):  # a plug-in's may be anything
        rows = float(count * batch)
    steps = steps_of(cell)
    events = sum(event.step <= steps for event in timeline.events) * recipe.recomputations
    return max(1.0, steps - spared + events * rows / recipe.train.batch)


def _tokens(cell: Cell) -> int:
    """Tokens of a step, were all sequences of the task's full length."""
    spec = SPECS[cell.task.name]
    # A multiple-choice row is a sequence for each choice.
    sequences = spec.labels if spec.family == "multiple_choice" else 1
    return cell.recipe.train.batch * sequences * cell.task.max_length
