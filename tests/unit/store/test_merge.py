"""Finished cells of elsewhere come in whole and checked, or not at all."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from smc_bench.errors import StoreError
from smc_bench.store import merge as merging
from smc_bench.store.store import Store
from tests.helpers.carried import (
    ONE,
    TWO,
    WEIGHTS,
    bring,
    cell_of,
    content,
    finish,
    hidden,
    packed,
    tar_of,
    whats,
)

DENSE = cell_of(
    sparsity=0.0,
    teacher=None,
    recipe={**cell_of().recipe.model_dump(), "sparsity_schedule": None, "distillation": None}
    | {"train": {"duration": "1ep", "batch": 32}, "lr_schedule": {"kind": "linear", "peak": 1e-4}},
)


@pytest.mark.parametrize("kind", ["folder", "cells", "tar", "records", "tar of records"])
def test_every_source_gives_the_same_cells(tmp_path: Path, kind: str) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    folders = [finish(there, ONE), finish(there, DENSE)]
    records = packed(there, tmp_path / "records")
    source = {
        "folder": lambda: there,
        "cells": lambda: there / "cells",
        "tar": lambda: tar_of(there, tmp_path / "a.tgz"),
        "records": lambda: records,
        "tar of records": lambda: tar_of(records, tmp_path / "b.tgz"),
    }[kind]()
    assert whats(bring(source, here)) == {ONE.id: "added", DENSE.id: "added"}
    for folder in folders:
        came = Store(here).folder(str(folder.path.relative_to(there / "cells")))
        assert came.state() == "done"
        before, after = content(folder), content(came)
        if "records" in kind:  # at most 120 points of 500 or 250 stay
            assert len(after.pop("train.jsonl").splitlines()) in (100, 84)
            before.pop("train.jsonl")
        elif "tar" not in kind:
            assert after["train.jsonl"] == before["train.jsonl"]
        assert before == after
    assert whats(bring(source, here)) == {ONE.id: "there", DENSE.id: "there"}
    assert hidden(here) == []


def test_other_metrics_are_a_conflict_and_change_nothing(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE, right=2)
    mine = finish(tmp_path / "here", ONE, right=3)
    before = content(mine)
    (outcome,) = bring(tmp_path / "there", tmp_path / "here")
    assert (outcome.what, outcome.whole) == ("conflict", False)
    assert "accuracy 75" in outcome.why
    assert "accuracy 50" in outcome.why
    assert content(mine) == before


def _metric(record: dict[str, Any]) -> None:
    record["metrics"]["accuracy"] = 100.0


def _range(record: dict[str, Any]) -> None:
    record["metrics"]["accuracy"] = 101.0


def _settings(record: dict[str, Any]) -> None:
    record["cell"]["seed"] = 9


def _newer(record: dict[str, Any]) -> None:
    record["schema_version"] = 99


@pytest.mark.parametrize("what", [_metric, _range, _settings, _newer])
@pytest.mark.parametrize("small", [False, True])
def test_a_changed_record_is_left_out_and_costs_no_other(
    tmp_path: Path, what: Any, small: bool
) -> None:
    there = tmp_path / "there"
    folder = finish(there, ONE)
    finish(there, TWO)
    source = packed(there, tmp_path / "records") if small else there
    path = source / ONE.task.name / f"{folder.path.name}.json.gz"
    if small:
        whole = json.loads(gzip.decompress(path.read_bytes()))
        what(whole["record"])
        path.write_bytes(gzip.compress(json.dumps(whole).encode()))
    else:
        record = json.loads((folder.path / "record.json").read_text())
        what(record)
        (folder.path / "record.json").write_text(json.dumps(record))
    outcomes = bring(source, tmp_path / "here")
    assert whats(outcomes) == {ONE.id: "left out", TWO.id: "added"}
    assert not Store(tmp_path / "here").folder(ONE.folder).path.exists()
    assert ".merge-" not in "".join(outcome.why for outcome in outcomes)


@pytest.mark.parametrize("how", ["changed", "torn", "gone"])
def test_results_by_example_must_be_those_of_the_record(tmp_path: Path, how: str) -> None:
    path = finish(tmp_path / "there", ONE).path / "predictions.json.gz"
    if how == "changed":
        splits = {"validation": {"predictions": [0, 0, 0, 0], "correct": [1, 1, 1, 0]}}
        path.write_bytes(gzip.compress(json.dumps(splits).encode()))
    elif how == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    (outcome,) = bring(tmp_path / "there", tmp_path / "here")
    assert outcome.what == "left out"
    assert "predictions" in outcome.why


@pytest.mark.parametrize("left", [5, -1, "2", None])
def test_weights_left_must_be_counts_of_those_there_are(tmp_path: Path, left: object) -> None:
    layers = {"tensors": {"w": 4}, "events": [{"step": 1, "target": 0.5, "left": {"w": left}}]}
    path = finish(tmp_path / "there", ONE).path / "layers.json.gz"
    path.write_bytes(gzip.compress(json.dumps(layers).encode()))
    (outcome,) = bring(tmp_path / "there", tmp_path / "here")
    assert outcome.what == "left out"
    assert "layers" in outcome.why


def test_a_record_that_names_a_folder_outside_is_refused(tmp_path: Path) -> None:
    evil = cell_of(task={**cell_of().task.model_dump(), "name": "../../out"})
    folder = tmp_path / "there" / "cells" / "sst2" / f"x-{evil.id}"
    folder.parent.mkdir(parents=True)
    finish(tmp_path / "base" / "a" / "b", evil).path.rename(folder)
    (outcome,) = bring(tmp_path / "there", tmp_path / "here")
    assert outcome.what == "left out"
    assert "names no folder" in outcome.why
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [None, "empty", "file"])
def test_what_holds_no_cells_is_an_error(tmp_path: Path, make: str | None) -> None:
    source = tmp_path / "source"
    if make == "empty":
        source.mkdir()
    elif make == "file":
        source.write_text("hello")
    with pytest.raises(StoreError, match="source"):
        bring(source, tmp_path / "here")


def test_weights_come_when_asked_for_and_are_hashed(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    finish(there, ONE, weights=True)
    finish(there, TWO)
    bring(there, here)
    mine = Store(here).folder(ONE.folder).path
    assert not (mine / "weights").exists()
    asked = bring(there, here, weights=True)
    assert whats(asked) == {ONE.id: "weights added", TWO.id: "without weights"}
    assert {p.name: p.read_bytes() for p in (mine / "weights").iterdir()} == WEIGHTS
    assert whats(bring(there, here, weights=True))[ONE.id] == "there"
    (Store(there).folder(ONE.folder).path / "weights" / "config.json").write_bytes(b"[]")
    again = bring(there, tmp_path / "new", weights=True)
    assert whats(again) == {ONE.id: "without weights", TWO.id: "without weights"}
    assert not list((tmp_path / "new").rglob("weights"))


def test_dense_cells_can_stay_behind(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    finish(tmp_path / "there", DENSE)
    assert whats(bring(tmp_path / "there", tmp_path / "here", dense=False)) == {ONE.id: "added"}


def test_a_cell_that_was_begun_here_is_finished_and_one_that_runs_is_left(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    finish(tmp_path / "there", TWO)
    begun, running = (Store(tmp_path / "here").folder(cell.folder) for cell in (ONE, TWO))
    for folder in (begun, running):
        folder.create({"seed": 0})
        assert folder.claim() == 1
    begun.attempt_file(1).write_text(json.dumps({"ended": "now", "how": "interrupted"}))
    outcomes = bring(tmp_path / "there", tmp_path / "here")
    assert whats(outcomes) == {ONE.id: "added", TWO.id: "left out"}
    assert begun.state() == "done"
    assert begun.lease(2)["how"] == "merged"
    assert running.state() == "running"


def test_a_damaged_record_here_is_not_overwritten(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    path = finish(tmp_path / "here", ONE).path / "record.json"
    path.write_text("{")
    (outcome,) = bring(tmp_path / "there", tmp_path / "here")
    assert outcome.what == "left out"
    assert path.read_text() == "{"


def test_the_same_cell_under_another_name_of_its_model_is_there(tmp_path: Path) -> None:
    mine, other = cell_of(model="./bert"), cell_of(model="./my-bert")
    assert (mine.id, mine.slug) != (other.id, other.slug)
    assert mine.id == other.id
    finish(tmp_path / "here", mine)
    finish(tmp_path / "there", other)
    assert whats(bring(tmp_path / "there", tmp_path / "here")) == {mine.id: "there"}
    finish(tmp_path / "there", other, right=1)
    assert whats(bring(tmp_path / "there", tmp_path / "here")) == {mine.id: "conflict"}
    assert len(list((tmp_path / "here").glob("cells/*/*"))) == 1


def test_two_merges_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(tmp_path / "there", ONE)
    real = merging._into_place

    def other_is_faster(*arguments: Any) -> Any:
        monkeypatch.setattr(merging, "_into_place", real)
        assert whats(bring(tmp_path / "there", tmp_path / "here")) == {ONE.id: "added"}
        return real(*arguments)

    monkeypatch.setattr(merging, "_into_place", other_is_faster)
    assert whats(bring(tmp_path / "there", tmp_path / "here")) == {ONE.id: "there"}


@pytest.mark.parametrize("step", ["_write", "_into_place"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
def test_an_interruption_leaves_whole_cells_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException]
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for cell in (ONE, TWO):
        finish(there, cell)
    real, calls = getattr(merging, step), []

    def second_fails(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(merging, step, second_fails)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else StoreError):
            bring(there, here)
    assert hidden(here) == []
    assert [Store(here).folder(c.folder).state() for c in (ONE, TWO)].count("done") == 1
    assert len(list(here.glob("cells/*/*"))) == 1
    assert sorted(whats(bring(there, here)).values()) == ["added", "there"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_results_that_can_not_be_written_are_named(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    (tmp_path / "here").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="can't be written"):
        bring(tmp_path / "there", tmp_path / "here")
