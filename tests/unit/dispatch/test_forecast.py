from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smc_bench.dispatch.eta import forecast
from smc_bench.dispatch.eta.forecast import Forecast, in_words
from smc_bench.dispatch.eta.timings import timings_of
from smc_bench.dispatch.local.capacity import Machine, default_jobs
from smc_bench.store.provenance import processor
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Entry
from smc_bench.suite.length import steps_of
from tests.helpers.records import write_cell
from tests.unit.suite.test_identity import BASE


def cell(seed: int, sparsity: float = 0.5) -> Cell:
    return Cell.model_validate(BASE | {"seed": seed, "sparsity": sparsity, "teacher": None})


def finish(store: Store, done: Cell, train: float, whole: int, **changes: Any) -> None:
    """A record whose attempt took ``whole`` seconds, ``train`` of them in training."""
    write_cell(
        store, Entry(done, "good", done.sparsity), [1.0], provenance={"processor": processor()}
    )
    path = store.folder(done.folder).path / "record.json"
    ended = f"2026-01-01T00:{whole // 60:02d}:{whole % 60:02d}+00:00"
    record = json.loads(path.read_text()) | {"train_seconds": train, "finished": ended, **changes}
    path.write_text(json.dumps(record))


class Clock:
    """A pool and its time, both moved by hand."""

    def __init__(self, store: Store, cells: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(forecast.time, "monotonic", lambda: self.now)
        self.pool: Any = SimpleNamespace(
            workers=[], waiting=list(cells), outcome=SimpleNamespace(done=[]), store=store
        )

    def start(self, which: Cell, threads: int = 1) -> None:
        self.pool.waiting.remove(which)
        self.pool.workers.append(SimpleNamespace(cell=which, threads=threads))

    def end(self, which: Cell) -> None:
        self.pool.workers = [w for w in self.pool.workers if w.cell != which]
        self.pool.outcome.done.append(which.id)


def test_the_first_cell_calibrates_and_the_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cells = Store(tmp_path), [cell(1), cell(2), cell(3)]
    clock = Clock(store, cells, monkeypatch)
    follows = Forecast(store, {c.id: c for c in cells}, Machine(1, 1), [], {})
    follows.update(clock.pool)
    assert follows.left(clock.pool, {}) is None
    clock.start(cells[0])
    follows.update(clock.pool)
    clock.now = 30.0
    # A third through: the rate so far stands in for all.
    assert follows.left(clock.pool, {cells[0].id: 1 / 3}) == pytest.approx(60.0 + 90.0 + 90.0)
    clock.now = 100.0
    finish(store, cells[0], train=80.0, whole=100)
    clock.end(cells[0])
    follows.update(clock.pool)
    assert follows.left(clock.pool, {}) == pytest.approx(200.0)
    for which, took in zip(cells[1:], (100.0, 150.0), strict=True):
        clock.start(which)
        follows.update(clock.pool)
        assert follows.left(clock.pool, {which.id: 0.5})
        clock.now += took
        finish(store, which, train=80.0, whole=100)
        clock.end(which)
        follows.update(clock.pool)
    result = follows.result(whole=True)
    assert result is not None
    assert result["cells"][cells[2].id] == {"predicted": 100.0, "measured": 150.0}
    assert result["largest_error"] == pytest.approx(100 / 150 - 1, abs=1e-4)
    assert result["median_error"] == pytest.approx((0.0 + 1 / 3) / 2, abs=1e-4)
    assert (result["after"], result["predicted"], result["measured"]) == (100.0, 200.0, 250.0)
    assert "(-20 %)" in in_words(result)
    assert "predicted" not in (follows.result(whole=False) or {})


def test_what_is_left_counts_the_running_cells_and_both_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cells = Store(tmp_path), [cell(seed) for seed in range(1, 6)]
    finish(store, cells[0], train=80.0, whole=100)
    timings = timings_of(store, cells, gpu=False)
    clock = Clock(store, cells[1:], monkeypatch)
    follows = Forecast(store, {c.id: c for c in cells[1:]}, Machine(2, 2), timings, {})
    clock.start(cells[1])
    clock.start(cells[2])
    follows.update(clock.pool)
    # One at its end, one halfway (40 s of training and 20 s around it left), then two more.
    done = {cells[1].id: 1.0, cells[2].id: 0.5}
    assert follows.left(clock.pool, done) == pytest.approx(160.0)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"attempt": 2}, False),
        ({"device": "cuda:0"}, False),
        ({"provenance": {"processor": "another"}}, False),
        ({"train_seconds": "torn"}, False),
    ],
)
def test_only_whole_cells_of_this_machine_are_timings(
    changes: dict[str, Any], counts: bool, tmp_path: Path
) -> None:
    store, one = Store(tmp_path), cell(1)
    finish(store, one, train=80.0, whole=100, **changes)
    found = timings_of(store, [one, cell(2)], gpu=False)
    assert len(found) == counts
    if counts:
        assert (found[0].train, found[0].around, found[0].threads) == (80.0, 20.0, 1)
        assert steps_of(found[0].cell) > 0


def test_default_jobs() -> None:
    assert default_jobs(gpus=4, cores=2, free_gib=1.0) == 4
    assert default_jobs(gpus=0, cores=8, free_gib=30.0) == 2
    assert default_jobs(gpus=0, cores=2, free_gib=3.0) == 1
    assert default_jobs(gpus=0, cores=1, free_gib=30.0) == 1
