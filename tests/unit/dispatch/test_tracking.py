"""Trackers: one run a cell over all its attempts, and never a cell's loss."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate
import accelerate.tracking
import pytest

from smc_bench.dispatch.worker.tracking import Trackers, flat, not_installed
from smc_bench.store.files import read_json
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE

CELL = Cell.model_validate(BASE)
Make = Callable[..., Trackers]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerate.PartialState()  # the engine's Accelerator makes one before the first step
    for key in ("WANDB_MODE", "WANDB_PROJECT", "TRACKIO_PROJECT", "SMC_BENCH_OFFLINE"):
        # Set first, so that what the code itself sets is taken back as well.
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)
    for key in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(key, "3")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    folder = tmp_path / "cells" / CELL.folder
    folder.mkdir(parents=True)
    return lambda *names: Trackers(names, CELL, folder, tmp_path)


class Fake:
    """Notes what it is asked to do; ``breaks`` names the calls that raise."""

    calls: list[tuple[Any, ...]]
    breaks: frozenset[str] = frozenset()

    def __init__(self, *words: Any, **options: Any) -> None:
        self._note("init", words, options)
        self.tracker = SimpleNamespace(info=SimpleNamespace(run_id="of-the-server"))

    def _note(self, call: str, *details: Any) -> None:
        self.calls.append((call, *details))
        if call in self.breaks:
            raise ConnectionError(f"{call} failed\nand more")

    def start(self) -> None:
        self._note("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._note("config", values)

    def log(self, values: dict[str, Any], step: int) -> None:
        self._note("log", values, step)

    def finish(self) -> None:
        self._note("finish")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[Any, ...]]]:
    def install(name: str, breaks: str = "") -> list[tuple[Any, ...]]:
        content = {"calls": [], "breaks": frozenset(breaks.split())}
        kind = type(name, (Fake,), content)
        monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, name, kind)
        return kind.calls

    return install


def attempt(trackers: Trackers, first: int, last: int) -> None:
    for step in range(first, last + 1):
        told = {"phase": "train", "loss": 1.0 / step, "lr": 0.1, "sparsity": None, "time": 7.0}
        trackers.log(told, step)
    trackers.close()


def test_nothing_is_made_unless_asked_for(make: Make, fake: Any, tmp_path: Path) -> None:
    calls = fake("wandb")
    attempt(make(), 1, 3)
    make("wandb").close()
    assert calls == []
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("name", "same_run"),
    [
        ("wandb", {"id": CELL.id, "resume": "allow", "name": CELL.slug}),
        ("trackio", {"name": Path(CELL.folder).name, "resume": "allow"}),
    ],
)
def test_every_attempt_logs_to_the_run_of_the_cell(
    make: Make, fake: Any, name: str, same_run: dict[str, str]
) -> None:
    calls = fake(name)
    attempt(make(name), 1, 2)
    again = make(name)
    again.log({"loss": 0.25, "lr": 0.1, "sparsity": 0.5}, 3)
    again.finish({"accuracy": 90.0}, 3)
    again.close()
    made = [call for call in calls if call[0] == "init"]
    assert len(made) == 2
    for _, words, options in made:
        assert words == ("smc-bench",)
        assert same_run.items() <= options.items()
    assert [call[0] for call in calls].count("config") == 1
    logged = [call[1:] for call in calls if call[0] == "log"]
    assert logged == [
        ({"loss": 1.0, "lr": 0.1}, 1),
        ({"loss": 0.5, "lr": 0.1}, 2),
        ({"loss": 0.25, "lr": 0.1, "sparsity": 0.5}, 3),
        ({"final/accuracy": 90.0}, 3),
    ]
    assert calls[-1] == ("finish",)


def test_the_run_that_an_mlflow_server_named_is_opened_again(make: Make, fake: Any) -> None:
    calls = fake("mlflow")
    attempt(make("mlflow"), 1, 1)
    attempt(make("mlflow"), 2, 2)
    assert [call[2]["run_id"] for call in calls if call[0] == "init"] == [None, "of-the-server"]


@pytest.mark.parametrize("breaks", ["init", "start", "config", "log", "finish"])
def test_a_tracker_that_fails_costs_one_line_and_no_other_tracker(
    make: Make, fake: Any, breaks: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake("wandb", breaks)
    good = fake("trackio")
    attempt(make("wandb", "trackio"), 1, 3)
    assert caplog.messages == [f"tracker wandb is left out: {breaks} failed"]
    assert [call[0] for call in good] == ["init", "start", "config", *["log"] * 3, "finish"]


def test_a_missing_package_is_told_before_and_during(
    make: Make, fake: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not there
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not_installed(["wandb"]) == ["wandb"]
    attempt(make("wandb"), 1, 2)
    (said,) = caplog.messages
    assert said.startswith("tracker wandb is left out: ")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "SMC_BENCH_OFFLINE"])
def test_wandb_stays_offline_where_the_cells_do(
    make: Make, fake: Any, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("wandb")
    attempt(make("wandb"), 1, 1)
    assert "WANDB_MODE" not in os.environ
    monkeypatch.setenv(variable, "1")
    attempt(make("wandb"), 1, 1)
    assert os.environ["WANDB_MODE"] == "offline"


def test_settings_are_flattened_to_plain_values() -> None:
    settings = {"task": {"name": "sst2", "splits": ["a", "b"]}, "seed": 1, "teacher": None}
    expected = {
        "task.name": "sst2", "task.splits": '["a", "b"]', "seed": 1, "teacher": "null"
    }  # fmt: skip
    assert flat(settings) == expected
    assert flat(CELL.model_dump(mode="json"))["recipe.train.batch"] == 32


def test_tensorboard_files_hold_each_step_once(make: Make, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    attempt(make("tensorboard"), 1, 5)  # interrupted at 5, its checkpoint is of step 3
    again = make("tensorboard")
    for step in range(4, 9):
        again.log({"loss": 1.0 / step, "lr": 0.1, "sparsity": 0.5}, step)
    again.finish({"accuracy": 90.0}, 8)
    again.close()
    run = tmp_path / "tensorboard" / CELL.folder
    found = events.EventAccumulator(str(run)).Reload()
    losses = [(event.step, event.value) for event in found.Scalars("loss")]
    assert losses == [(step, pytest.approx(1.0 / step)) for step in range(1, 9)]
    assert [event.value for event in found.Scalars("final/accuracy")] == [90.0]
    (settings,) = run.glob("*/hparams.yml")
    assert f"model_pin: {CELL.model_pin}" in settings.read_text()
    assert read_json(tmp_path / "cells" / CELL.folder / "trackers.json") == {"tensorboard": CELL.id}
