"""What a record may say to be believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from smc_bench.errors import DamagedError, StoreError
from smc_bench.store.reading import check_weights, parse_record, read_cell
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import IDENTITY_VERSION, Cell
from tests.helpers.records import record_of
from tests.unit.suite.test_identity import BASE, with_value

CELL = Cell.model_validate(BASE)
NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path) -> CellFolder:
    found = Store(tmp_path).folder(CELL.folder)
    found.create(CELL.model_dump(mode="json"))
    return found


def write(folder: CellFolder, content: Any) -> None:
    (folder.path / "record.json").write_text(json.dumps(content))


def changed(path: str, value: Any) -> dict[str, Any]:
    return with_value(record_of(CELL), path, value)


def test_a_good_record_is_read_and_older_ones_lack_what_came_later(folder: CellFolder) -> None:
    write(folder, record_of(CELL))
    found = folder.record()
    assert found is not None
    assert (folder.state(), folder.damage()) == ("done", "")
    assert (found.outputs, found.weights_left, found.files_sha256) == ({}, {}, {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 0),
        ("schema_version", "1"),
        ("schema_version", None),
        ("schema_version", True),
        ("metrics", {}),
        ("metrics.accuracy", NAN),
        ("metrics.accuracy", float("inf")),
        ("metrics.accuracy", 100.1),
        ("metrics.accuracy", -1),
        ("metrics.accuracy_mm", 9000),
        ("metrics.accuracy", "55"),
        ("metrics.accuracy", None),
        ("metrics.matthews_correlation", -100.5),
        ("trivial.f1", -0.5),
        ("sparsity.encoder", {"zeros": 11, "total": 10}),
        ("sparsity.encoder", {"zeros": -1, "total": 10}),
        ("sparsity.components.head.total", 1.5),
        ("sparsity.components", {}),
        ("sparsity.components.encoder.zeros", 1),
        ("sparsity.scope", {"zeros": 999, "total": 1000}),
        ("sparsity.scope.zeros", 0),
        ("sparsity.scope.total", 1_000_000),
        ("events", [{"target": 0.5}]),
        ("events", [{"step": -1, "target": 0.5}]),
        ("events", [{"step": 11, "target": 0.5}]),
        ("events", [{"step": 1, "target": 1.5}]),
        ("events", [{"step": 1, "target": NAN}]),
        ("total_steps", -1),
        ("prefix_steps", 11),
        ("train_seconds", -0.1),
        ("train_seconds", NAN),
        ("threads", 0),
        ("attempt", 0),
        ("rows.train", -5),
        ("weights_sha256", "abc"),
        ("weights_left", {"w": [3, 2]}),
        ("weights_left", {"w": [2, 2]}),
        ("predictions_sha256", "abc"),
        ("provenance", {"packages": "torch 2"}),
        ("provenance", {"packages": {"torch": 2}}),
        ("provenance", {"pins": ["mirror"]}),
        ("outputs", {"validation": {"rows": -1, "all_equal": True}}),
        ("cell_id", "0" * 12),
        ("cell", {}),
        ("cell.seed", 2),
        ("cell.sparsity", 0.9),
        ("cell.recipe.lr_schedule.peak", 1),
    ],
)
def test_what_can_not_be_is_refused_and_named(folder: CellFolder, path: str, value: Any) -> None:
    write(folder, changed(path, value))
    with pytest.raises(StoreError, match=r"record\.json") as caught:
        folder.record()
    assert "newer" not in str(caught.value)
    assert folder.state() == "damaged"
    assert folder.claim() is None  # nothing overwrites it unasked


def test_metrics_of_ones_own_may_have_any_finite_value(folder: CellFolder) -> None:
    write(folder, changed("metrics.perplexity", 431.5))
    assert folder.state() == "done"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"done"', "\ud800", "{}"])
def test_a_file_that_is_no_record_is_damaged_not_done(folder: CellFolder, text: str) -> None:
    (folder.path / "record.json").write_text(text, errors="surrogatepass")
    assert folder.state() == "damaged"
    assert "record.json" in folder.damage()


@pytest.mark.parametrize(
    ("path", "value"),
    [("schema_version", 2), ("cell.identity_version", IDENTITY_VERSION + 1)],
)
def test_a_newer_record_is_said_to_be_newer(folder: CellFolder, path: str, value: int) -> None:
    write(folder, changed(path, value) | {"unheard_of": 1})
    assert "written by a newer smc-bench" in folder.damage()


def test_a_record_in_another_cells_folder_is_refused(folder: CellFolder, tmp_path: Path) -> None:
    other = Cell.model_validate(BASE | {"seed": 2})
    write(folder, record_of(other))
    assert f"its folder says {CELL.id!r}" in folder.damage()


def test_a_run_that_was_cut_short_is_not_made_reportable(tmp_path: Path) -> None:
    short = Cell.model_validate(BASE | {"limit": 3})
    path = tmp_path / short.folder / "record.json"
    assert parse_record(record_of(short, reportable=False), path).cell_id == short.id
    with pytest.raises(StoreError, match="cut short"):
        parse_record(record_of(short), path)


def test_a_failure_that_can_not_be_read_is_a_failure(folder: CellFolder) -> None:
    (folder.path / "failure.json").write_text("{")
    found = folder.failure()
    assert found is not None
    assert "failure.json: can't be read" in found.message
    assert folder.state() == "failed"


def test_settings_of_another_cell_are_not_trained(folder: CellFolder) -> None:
    path = folder.path / "cell.json"
    content = json.loads(path.read_text())
    assert read_cell(content, path).id == CELL.id
    for wrong in (content | {"seed": 9}, {}, None, [1]):
        with pytest.raises(StoreError, match=r"cell\.json"):
            read_cell(wrong, path)


@pytest.mark.parametrize("text", ["", "{", '{"seed": 3}'])
def test_damaged_settings_are_written_anew(folder: CellFolder, text: str) -> None:
    (folder.path / "cell.json").write_text(text)
    folder.create(CELL.model_dump(mode="json"))
    assert json.loads((folder.path / "cell.json").read_text()) == CELL.model_dump(mode="json")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("how", ["changed", "truncated", "gone", "a folder"])
def test_changed_weights_are_named(tmp_path: Path, name: str, how: str) -> None:
    texts = {"model.safetensors": b"weights", "config.json": b"{ }", "tokenizer.json": b"[1]"}
    for file, text in texts.items():
        (tmp_path / file).write_bytes(text)
    digests = {file: hashlib.sha256(text).hexdigest() for file, text in texts.items()}
    first = digests.pop("model.safetensors")
    record = Record.model_validate(record_of(CELL, weights_sha256=first, files_sha256=digests))
    check_weights(tmp_path, record)
    (tmp_path / "added_tokens.json").write_bytes(b"{}")
    with pytest.raises(DamagedError, match="added_tokens"):
        check_weights(tmp_path, record)
    (tmp_path / "added_tokens.json").unlink()
    path = tmp_path / name
    if how == "changed":
        path.write_bytes(texts[name][::-1])
    elif how == "truncated":
        path.write_bytes(texts[name][:-1])
    else:
        path.unlink()
        if how == "a folder":
            path.mkdir()
    with pytest.raises(DamagedError) as caught:
        check_weights(tmp_path, record)
    assert str(path) in str(caught.value)
    assert "--force" in str(caught.value)
