from __future__ import annotations

import json
from pathlib import Path

import pytest

from smc_bench.errors import StoreError
from smc_bench.store.joined import JoinedStore, conflicts, store_of
from smc_bench.store.nearly import nearly, summary
from smc_bench.store.runs import Place, bring, remember, runs
from smc_bench.store.store import Store
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.load import load_suite
from smc_bench.suite.stored import Origin, StoredSuite
from tests.helpers.pins import AnyPins
from tests.helpers.records import finished, skilled, suite_file, write_cell


def stored(folder: Path, *settings: str) -> StoredSuite:
    plan = expand(load_suite(suite_file(folder)), AnyPins("bf16"))
    return StoredSuite.of(plan, {}, Origin(file="made_up.yaml", settings=settings))


def test_several_runs_are_kept_and_the_newest_comes_first(tmp_path: Path) -> None:
    root, cache = tmp_path / "r", tmp_path / "cache"
    first = remember(root, stored(tmp_path), Place(tmp_path / "made_up.yaml"), cache)
    other = remember(root, stored(tmp_path, "seeds=[9]"), Place(), cache)
    assert [run.id for run in runs(root)] == [other.id, first.id]
    again = remember(root, stored(tmp_path), Place(tmp_path / "made_up.yaml"), cache)
    assert [run.id for run in runs(root)] == [first.id, other.id]
    assert again.id == first.id
    assert runs(root)[0].read() == stored(tmp_path)
    arms = [*runs(root)[0].read().load().suite.arms]
    assert arms == ["good", "bad"]  # tables have them in this order
    assert Place.of(again, cache) == Place(tmp_path / "made_up.yaml")
    assert Place.of(again, tmp_path / "elsewhere") == Place()
    assert str(tmp_path) not in again.path.read_text()
    assert [run.suite for run in runs(root, tmp_path / "none")] == ["made_up", "made_up"]


def test_a_merge_brings_runs_along_and_refuses_changed_ones(tmp_path: Path) -> None:
    one, here, cache = tmp_path / "one", tmp_path / "here", tmp_path / "cache"
    older = remember(one, stored(tmp_path), Place(), cache)
    mine = remember(here, stored(tmp_path, "seeds=[9]"), Place(), cache)
    changed = remember(one, stored(tmp_path, "seeds=[8]"), Place(), cache)
    changed.path.write_text(changed.path.read_text().replace("made_up", "made_down"))
    (problem,) = bring(here, one)
    assert problem.startswith(f"{changed.path}: was changed")
    assert [run.id for run in runs(here)] == [mine.id, older.id]
    assert runs(here)[1].read() == stored(tmp_path)
    assert bring(here, tmp_path / "one.tar") == []
    before = {path: path.read_bytes() for path in here.rglob("*.json")}
    changed.path.unlink()
    assert bring(here, one) == []
    assert {path: path.read_bytes() for path in here.rglob("*.json")} == before


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 2}', "[" * 5000])
def test_a_damaged_run_is_named(tmp_path: Path, text: str) -> None:
    run = remember(tmp_path, stored(tmp_path), Place(), tmp_path / "cache")
    run.path.write_text(text)
    with pytest.raises(StoreError) as error:
        run.read()
    assert str(error.value).startswith(f"{run.path}: ")
    (run.path.parent / "notes.txt").write_text("no run")
    (run.path.parent / "odd.json").write_text("{}")
    assert runs(tmp_path) == [run]


def test_several_folders_are_one(tmp_path: Path) -> None:
    suite, one, two = suite_file(tmp_path), tmp_path / "one", tmp_path / "two"
    plan = expand(load_suite(suite), AnyPins("bf16"))
    first, second, third, *_ = plan.entries
    write_cell(Store(one), first, [1.0])
    write_cell(Store(two), second, [1.0])
    # Begun in the first folder, finished in the second.
    Store(one).folder(third.cell.folder).create({})
    write_cell(Store(two), third, [1.0])
    store = store_of((one, two))
    assert isinstance(store, JoinedStore)
    assert not isinstance(store_of((one, one)), JoinedStore)
    for entry, root in ((first, one), (second, two), (third, two)):
        folder = store.folder(entry.cell.folder)
        assert folder.path == root / "cells" / entry.cell.folder
        assert store.by_id(entry.cell.id) == folder
        assert folder.relative == entry.cell.folder
    folders = [entry.cell.folder for entry in plan.entries]
    assert conflicts(store, folders) == []
    write_cell(Store(two), first, [1.0])
    assert conflicts(store, folders) == []
    write_cell(Store(two), first, [0.0])
    (said,) = conflicts(store, folders)
    assert said == f"{first.cell.folder}: {one} is shown; other scores are in {two}"
    assert conflicts(Store(one), folders) == []
    assert store.root == one
    assert store.by_id("") is None


def limited(suite: Path, limit: int | None, pins: AnyPins) -> Plan:
    return expand(load_suite(suite), pins, limit)


def test_what_keeps_cells_from_being_found_is_named(tmp_path: Path) -> None:
    suite, store = suite_file(tmp_path), Store(tmp_path / "r")
    cut = limited(suite, 3, AnyPins("bf16"))
    for entry in cut.entries:
        write_cell(store, entry, [1.0])
    asked = limited(suite, None, AnyPins("bf16"))
    search = nearly(store, asked.cells.values())
    near = search.near
    assert {found.keys for found in near.values()} == {("--limit 3",)}
    by_place = {(e.arm, e.cell.seed): e.cell.id for e in cut.entries}
    places = {e.cell.id: (e.arm, e.cell.seed) for e in asked.entries}
    assert {found.id for found in near.values()} == set(cut.cells)
    for key, found in near.items():  # of its own arm, though both arms' folders are called alike
        assert found.id == by_place[places[key]]
    total = len(asked.cells)
    line = f"0 of {total} found; {total} stored cells differ only in: --limit 3"
    assert summary(store, search) == [line]


def test_pins_are_called_by_their_kind(tmp_path: Path) -> None:
    class Others(AnyPins):
        def data(self, *_: object) -> str:
            return "other"

    suite, store = suite_file(tmp_path, seeds="1"), Store(tmp_path / "r")
    for entry in limited(suite, None, Others()).entries:
        write_cell(store, entry, [1.0])
    asked = limited(suite, None, AnyPins("bf16"))
    near = nearly(store, asked.cells.values()).near
    assert {found.keys for found in near.values()} == {("data pins",)}
    found = next(iter(store.cells.glob("*/*/record.json")))
    (found.parent / "cell.json").write_text(json.dumps({"damaged": True}))
    assert len(nearly(store, asked.cells.values()).near) == len(asked.cells) - 1


def test_nothing_alike_is_said_too(tmp_path: Path) -> None:
    suite, store = suite_file(tmp_path, seeds="1"), Store(tmp_path / "r")
    plan = limited(suite, None, AnyPins("bf16"))
    search = nearly(store, plan.cells.values())
    assert "there are no results in" in summary(store, search)[0]
    finished(suite_file(tmp_path / "b", seeds="5"), store.root, skilled({"dense": 0.9}))
    search = nearly(store, plan.cells.values())
    assert (search.done, search.total, search.near) == (0, len(plan.cells), {})
    assert "1 other cells are stored, none of the same" in summary(store, search)[0]


def test_an_arm_that_is_done_is_not_near_to_one_that_is_missing(tmp_path: Path) -> None:
    plan = finished(suite_file(tmp_path), tmp_path / "r", skilled({"good": 0.8}))
    store = Store(tmp_path / "r")
    pending = [entry.cell for entry in plan.entries if entry.arm == "bad"]
    slugs = {entry.cell.slug for entry in plan.entries if entry.arm == "good"}
    assert {cell.slug for cell in pending} == slugs  # they differ in the temperature alone
    assert nearly(store, plan.cells.values()).near == {}
    assert set(nearly(store, pending).near) == {cell.id for cell in pending}
