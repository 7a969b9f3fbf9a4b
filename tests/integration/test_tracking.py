"""A tracked cell is the same cell, also when its tracker breaks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

import accelerate.tracking
import pytest

from smc_bench.cli.common import Session
from smc_bench.dispatch.worker.context import Assignment
from smc_bench.dispatch.worker.main import DONE, attempt_cell
from smc_bench.engine.execution import Execution, TrackerName
from smc_bench.sources import Roots
from smc_bench.store.record import Record
from smc_bench.store.store import Store


class Breaking(accelerate.tracking.GeneralTracker):
    """Takes the first step, then its server is away."""

    name = "wandb"
    requires_logging_directory = False
    seen: ClassVar[list[tuple[int | None, dict[str, Any]]]] = []

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(_blank=True)

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self.seen.append((step, values))
        raise ConnectionError("the server is away")


def test_a_tracker_that_breaks_changes_nothing(
    suite_file: Path,
    mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "wandb", Breaking)
    roots = Roots.from_environment(mirror, tmp_path / "cache")

    def run(name: str, trackers: tuple[TrackerName, ...]) -> Record:
        store = Store(tmp_path / name)
        plan = Session(suite_file, None, (), roots, store).plan(network=True)
        dense = next(cell for cell in plan.cells.values() if not cell.sparsity)
        folder = store.folder(dense.folder)
        folder.create(dense.model_dump(mode="json"))
        execution, stop = Execution(trackers=trackers), threading.Event()
        assert attempt_cell(Assignment(store, folder, roots, execution, None, stop)) == DONE
        record = folder.record()
        assert record is not None
        return record

    plain, tracked = run("plain", ()), run("tracked", ("wandb",))
    assert tracked.weights_sha256 == plain.weights_sha256
    assert tracked.cell_id == plain.cell_id
    ((step, values),) = Breaking.seen
    assert step is not None
    assert {"loss", "lr"} <= set(values)
    assert "tracker wandb is left out: the server is away" in caplog.messages
