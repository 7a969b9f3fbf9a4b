"""The alternative of ``suite.py``: one process that trains a teacher, then one student of it.

    python benchmarks/suite_worker.py SUITE RESULTS CELL

The engine is this project's, but the student asks its teacher for every batch.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.dispatch.worker.context import Assignment
from smc_bench.dispatch.worker.main import attempt_cell
from smc_bench.engine.execution import Execution
from smc_bench.engine.inputs import CellInputs
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.objective import Objective
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import Store
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.tasks.base import Feature


class LiveTeacher:
    """A teacher that is asked for each batch."""

    def __init__(self, feed: Feed, features: Sequence[Feature]) -> None:
        """In eval mode."""
        self.feed, self.features = feed, features
        feed.model.eval()

    @torch.no_grad()
    def __call__(self, indices: Any) -> list[Tensor]:
        """Logits of each head."""
        batch = self.feed.batch([self.features[int(index)] for index in indices])
        return [head.logits for head in self.feed.heads(batch)]


def _teacher_outputs(self: CellInputs, features: list[Feature]) -> Any:
    if self.recipe.distillation is None:
        return None
    return LiveTeacher(self.feed(self._load(self.context.teacher_folder())), features)


def _asked(self: Objective, indices: Any, like: Tensor) -> Any:
    return self.teacher_outputs(indices)  # type: ignore[operator, misc]


def main() -> None:
    """Teacher, student, two records."""
    suite, results, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    CellInputs.teacher_outputs = _teacher_outputs  # type: ignore[method-assign]
    Objective._teacher = _asked  # type: ignore[method-assign]
    store, roots = Store(results), Roots.from_environment()
    pins = SourcePins(roots, Lock.load(results / "lock.json"), network=False)
    cells = expand(load_suite(suite), pins).cells
    for key in (cells[wanted].teacher, wanted):
        assert key is not None
        cell, folder = cells[key], store.folder(cells[key].folder)
        folder.create(cell.model_dump(mode="json"))
        given = Assignment(store, folder, roots, Execution(), None, threading.Event())
        if code := attempt_cell(given):
            sys.exit(code)


if __name__ == "__main__":
    main()
