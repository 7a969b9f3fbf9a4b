"""Time left, against arithmetic done by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smc_bench.dispatch import eta
from smc_bench.dispatch.backend import CellState
from smc_bench.dispatch.eta import Pace, Paces, in_words, left_of, time_left
from smc_bench.dispatch.progress import Seen
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import steps_of
from tests.unit.suite.test_identity import BASE, with_value


def cell(seed: int, **changes: Any) -> Cell:
    content: dict[str, Any] = BASE | {"seed": seed, "teacher": None}
    for key, value in changes.items():
        content = with_value(content, key.replace("__", "."), value)
    return Cell.model_validate(content)


def finished(store: Store, which: Cell, train: float, around: float, **more: Any) -> None:
    """What of a record counts here."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    record = {
        "attempt": 1,
        "device": "cpu",
        "provenance": {"processor": "here"},
        "train_seconds": train,
        "started": begin.isoformat(),
        "finished": (begin + timedelta(seconds=train + around)).isoformat(),
        "total_steps": steps_of(which),
        **more,
    }
    path = store.folder(which.folder).path
    path.mkdir(parents=True)
    (path / "record.json").write_text(json.dumps(record))


@pytest.fixture
def paces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paces:
    monkeypatch.setattr(eta, "processor", lambda: "here")
    return Paces(Store(tmp_path), gpu=False)


def test_a_cell_like_a_finished_one_takes_its_time(paces: Paces) -> None:
    steps = steps_of(cell(1))
    finished(paces.store, cell(1), 2.0 * steps, 7.0)
    finished(paces.store, cell(2), 4.0 * steps, 9.0)
    paces.learn([cell(1), cell(2), cell(3)])
    assert paces.of(cell(3)) == Pace(pytest.approx(3.0), pytest.approx(8.0))
    assert paces.seconds(cell(3)) == pytest.approx(3.0 * steps + 8.0)
    # Of another batch nothing is known, whatever FLOPs would say.
    assert paces.seconds(cell(3, recipe__train__batch=8)) is None


def test_reused_steps_took_no_time(paces: Paces) -> None:
    steps = steps_of(cell(1))
    finished(paces.store, cell(1), 1.5 * steps, 0.0, prefix_steps=steps // 2)
    paces.learn([cell(1)])
    pace = paces.of(cell(2))
    assert pace is not None
    assert pace.step == pytest.approx(1.5 * steps / (steps - steps // 2))


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": 2},
        {"device": "cuda:0"},
        {"provenance": {"processor": "elsewhere"}},
        {"train_seconds": "long"},
        {"started": None},
    ],
)
def test_other_machines_resumed_cells_and_damaged_records_say_nothing(
    paces: Paces, changes: dict[str, Any]
) -> None:
    finished(paces.store, cell(1), 10.0, 1.0, **changes)
    paces.learn([cell(1)])
    assert paces.of(cell(2)) is None


def test_one_card_s_pace_says_nothing_of_another_s(tmp_path: Path) -> None:
    store, steps = Store(tmp_path), steps_of(cell(1))
    for seed, gpu, step in ((1, "NVIDIA A", 2.0), (2, "NVIDIA B", 6.0)):
        more: dict[str, Any] = {"device": "cuda:0", "provenance": {"gpu": gpu}}
        finished(store, cell(seed), step * steps, 1.0, **more)
    here, anywhere = Paces(store, gpu=True, card="NVIDIA B"), Paces(store, gpu=True)
    third = Paces(store, gpu=True, card="NVIDIA C")
    for paces in (here, anywhere, third):
        paces.learn([cell(1), cell(2)])
    assert here.of(cell(3)) == Pace(pytest.approx(6.0), pytest.approx(1.0))
    assert anywhere.of(cell(3)) is None
    assert third.of(cell(3)) is None
    # Where all are of one kind, it need not be known which one cells will run on.
    alike = Paces(store, gpu=True)
    alike.learn([cell(1)])
    assert alike.seconds(cell(3)) == pytest.approx(2.0 * steps + 1.0)


def test_a_running_cell_is_measured_by_its_own_steps(paces: Paces) -> None:
    seen = Seen("train", 30, 120, pace=0.5)
    assert left_of(cell(1), seen, paces) == pytest.approx(45.0)
    assert left_of(cell(1), Seen("train", 30, 120), paces) is None
    finished(paces.store, cell(9), 2.0 * steps_of(cell(9)), 8.0)
    paces.learn([cell(9)])
    assert left_of(cell(1), seen, paces) == pytest.approx(45.0 + 8.0)
    assert left_of(cell(1), Seen("train", 30, 120), paces) == pytest.approx(180.0 + 8.0)
    assert left_of(cell(1), Seen("evaluate", 1, 4), paces) == pytest.approx(6.0)


def test_the_whole_is_shared_by_jobs_and_no_shorter_than_its_longest_cell(paces: Paces) -> None:
    cells = {one.id: one for one in map(cell, (1, 2, 3))}
    steps = steps_of(cell(1))
    one, two, _ = cells
    status = {key: CellState("pending") for key in cells}
    assert time_left(cells, status, {}, paces, 2) is None
    status[one] = CellState("running")
    progress = {one: Seen("train", steps - 10, steps, pace=2.0)}
    # The one that runs stands in for its like: 20 s, and twice 2 s a step.
    whole = 20.0 + 2 * 2.0 * steps
    assert time_left(cells, status, progress, paces, 1) == pytest.approx(whole)
    assert time_left(cells, status, progress, paces, 2) == pytest.approx(whole / 2)
    assert time_left(cells, status, progress, paces, 9) == pytest.approx(2.0 * steps)
    reused = {two: steps // 2}
    saved = 2.0 * (steps // 2)
    assert time_left(cells, status, progress, paces, 1, reused) == pytest.approx(whole - saved)
    assert time_left(cells, dict.fromkeys(cells, CellState("done")), {}, paces, 2) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0.0, "0 s"), (89.0, "89 s"), (192.0, "3.2 min"), (18360.0, "5.1 h")],
)
def test_times_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words
