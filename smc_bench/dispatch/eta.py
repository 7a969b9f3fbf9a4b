"""How long is left: measured seconds a step times steps left, and what comes around training.

Measured are cells that run now (over their last progress lines) and finished cells of the same
results on this machine. They speak for cells of their shape alone: same model, task, batch,
padding, precision, scorer and distillation. Of any other cell the time is unknown, and so is that
of a run which has one. Steps are nominal ones (:func:`smc_bench.suite.length.steps_of`). No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from smc_bench.dispatch.backend import Status
from smc_bench.dispatch.progress import Seen
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.provenance import processor
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import steps_of

_A_SHAPE = 8
"""Records that are read of each shape: more would not change a mean, but cost `plan` its speed."""

_OVER = {"done", "damaged", "failed", "blocked"}
Shape = tuple[object, ...]


@dataclass(frozen=True)
class Pace:
    """What cells of a shape take, in seconds: each optimizer step, and all around training.

    ``gpu`` is the name of the GPU that it was measured on; empty on a CPU, and in old records.
    """

    step: float
    around: float = 0.0
    gpu: str = ""

    def seconds(self, steps: float) -> float:
        """Of a cell that has so many steps to take."""
        return self.step * max(1.0, steps) + self.around


class Paces:
    """What finished cells of one results folder took, by shape."""

    def __init__(self, store: Store, *, gpu: bool, card: str | None = None) -> None:
        """Nothing is read before :meth:`learn`.

        Args:
            store: Results.
            gpu: Whether cells run on a GPU here.
            card: Which kind of GPU, or None where that is not known, as on a login node: records
                then count where they are all of one kind.
        """
        self.store, self.gpu, self.card = store, gpu, card
        self._measured: dict[Shape, list[Pace]] = {}
        self._asked: set[str] = set()

    def learn(self, cells: Iterable[Cell]) -> None:
        """Read the records of those that have finished; each at most once."""
        for cell in cells:
            paces = self._measured.setdefault(shape_of(cell), [])
            if cell.id not in self._asked and len(paces) < _A_SHAPE:
                pace = self._read(cell)
                if pace is not None:
                    self._asked.add(cell.id)
                    paces.append(pace)

    def of(self, cell: Cell) -> Pace | None:
        """The mean of the cell's shape, or None where none has finished."""
        paces = self._measured.get(shape_of(cell))
        if not paces or len({pace.gpu for pace in paces}) > 1:
            return None  # one GPU's pace says nothing of another's
        count = len(paces)
        return Pace(sum(p.step for p in paces) / count, sum(p.around for p in paces) / count)

    def seconds(self, cell: Cell) -> float | None:
        """What a whole cell should take, or None where nothing comparable has finished."""
        pace = self.of(cell)
        return None if pace is None else pace.seconds(steps_of(cell))

    def _read(self, cell: Cell) -> Pace | None:
        """What a finished cell took, if one attempt did it all, on this kind of machine."""
        try:
            path = self.store.folder(cell.folder).path / "record.json"
            record: dict[str, Any] | None = read_json(path)
            if record is None or record["attempt"] != 1:
                return None
            if record["device"].startswith("cuda") != self.gpu:
                return None
            if not self.gpu and record["provenance"].get("processor") != processor():
                return None
            gpu = str(record["provenance"].get("gpu") or "") if self.gpu else ""
            if self.card is not None and gpu != self.card:
                return None
            train = float(record["train_seconds"])
            begin, end = (datetime.fromisoformat(record[key]) for key in ("started", "finished"))
            reused = int(record.get("prefix_steps", 0)) / max(1, int(record["total_steps"]))
            steps = max(1.0, (1.0 - reused) * steps_of(cell))
            return Pace(train / steps, max(0.0, (end - begin).total_seconds() - train), gpu)
        except (StoreError, KeyError, TypeError, ValueError, AttributeError):
            return None  # a damaged record is said by the verbs that need it


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


def left_of(cell: Cell, seen: Seen | None, paces: Paces) -> float | None:
    """Seconds that a running cell still needs, or None where nothing comparable is known."""
    pace = paces.of(cell)
    if seen is None:
        return None if pace is None else pace.seconds(steps_of(cell))
    around = pace.around if pace else 0.0
    if seen.phase != "train":
        if seen.phase == "evaluate":
            return around * (1.0 - seen.share) if pace else None
        return None
    step = seen.pace if seen.pace is not None else pace.step if pace else None
    return None if step is None else step * (seen.total - seen.step) + around


def time_left(
    cells: Mapping[str, Cell],
    status: Status,
    progress: Mapping[str, Seen | None],
    paces: Paces,
    jobs: int,
    reused: Mapping[str, int] | None = None,
) -> float | None:
    """Seconds until all cells are over, if all jobs always have one; None where one is unknown.

    Args:
        cells: By id.
        status: Where they stand.
        progress: Of the cells that run.
        paces: What finished ones took.
        jobs: Cells at once.
        reused: Steps that cells take from one that shares their prefix.
    """
    lefts: list[float] = []
    live: dict[Shape, float] = {}
    for key, seen in progress.items():
        if seen is not None and seen.phase == "train" and seen.pace is not None:
            live[shape_of(cells[key])] = seen.pace
    for key, cell in cells.items():
        if status[key].word in _OVER:
            continue
        if status[key].word == "running":
            left = left_of(cell, progress.get(key), paces)
        else:
            known = paces.of(cell)
            step = live.get(shape_of(cell), known.step if known else None)
            own = steps_of(cell) - (reused or {}).get(key, 0)
            left = None if step is None else Pace(step, known.around if known else 0).seconds(own)
        if left is None:
            return None
        lefts.append(left)
    return max(*lefts, sum(lefts) / max(1, jobs)) if lefts else 0.0


def in_words(seconds: float | None) -> str:
    """``45 s``, ``3.2 min`` or ``5.1 h``; ``unknown`` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
