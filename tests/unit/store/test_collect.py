"""Small records, as they are collected and read back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from smc_bench.store.collecting import collect
from smc_bench.store.measured import MEASURED, read_measured, write_measured
from smc_bench.store.store import Store
from tests.helpers.carried import (
    ONE,
    bring,
    cell_of,
    digest,
    finish,
    packed,
    whats,
)
from tests.helpers.measured import measured_of


def test_the_last_step_of_a_thinned_curve_stays(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    bring(packed(tmp_path / "there", tmp_path / "records"), tmp_path / "here")
    lines = (Store(tmp_path / "here").folder(ONE.folder).path / "train.jsonl").read_text()
    assert json.loads(lines.splitlines()[-1]) == {"phase": "train", "step": 500, "loss": 1 / 500}


def test_collected_records_are_the_same_bytes_and_never_overwritten(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    records = packed(tmp_path / "there", tmp_path / "records")
    (path,) = records.glob("*/*")
    before = path.read_bytes()
    bring(records, tmp_path / "back")
    (again,) = packed(tmp_path / "back", tmp_path / "again").glob("*/*")
    assert again.read_bytes() == before
    finish(tmp_path / "other", ONE, right=1)
    (outcome,) = collect(Store(tmp_path / "other"), records)
    assert outcome.what == "conflict"
    assert path.read_bytes() == before


def test_cells_that_were_cut_short_are_not_collected(tmp_path: Path) -> None:
    short = cell_of(limit=3)
    finish(tmp_path / "there", short)
    assert list(collect(Store(tmp_path / "there"), tmp_path / "records")) == []
    assert whats(bring(tmp_path / "there", tmp_path / "here")) == {short.id: "added"}


def test_a_small_record_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smc_bench.store.packed.MOST_BYTES", 1000)
    path = tmp_path / "records" / "sst2" / f"x-{ONE.id}.json.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b" " * 2000))
    (outcome,) = bring(tmp_path / "records", tmp_path / "here")
    assert "is not read" in outcome.why


def test_the_hash_of_results_by_example_is_what_the_docs_say() -> None:
    assert digest({"b": 1, "a": [1, 2]}) == digest(json.loads('{"a": [1, 2], "b": 1}'))


def times(folder: Path, *engines: str, processor: str = "a processor") -> Path:
    """Measure a finished cell, with numbers of ours."""
    cell = Store(folder).folder(ONE.folder)
    record = cell.record()
    assert record is not None
    taken = {(engine, 1): (30.0, 10.0) for engine in engines}
    own = measured_of(ONE.id, record.weights_sha256, taken, processor=processor)
    return write_measured(cell.path, own.joined(known(folder)))


def known(folder: Path) -> Any:
    cell = Store(folder).folder(ONE.folder)
    record = cell.record()
    assert record is not None
    return read_measured(cell.path, ONE.id, record.weights_sha256)


def test_what_was_measured_after_collecting_is_collected_too(tmp_path: Path) -> None:
    """The record stays as it is; merged again, or from two machines, nothing is lost."""
    finish(tmp_path / "there", ONE)
    records = packed(tmp_path / "there", tmp_path / "records")
    (path,) = records.glob("*/*")
    before = json.loads(gzip.decompress(path.read_bytes()))
    bring(records, tmp_path / "early")
    times(tmp_path / "there", "torch")
    for _ in range(2):
        (outcome,) = collect(Store(tmp_path / "there"), records)
        assert outcome.what == "there"
    after = json.loads(gzip.decompress(path.read_bytes()))
    assert {key: value for key, value in after.items() if key != "measured"} == before
    times(tmp_path / "early", "torch", processor="another")
    for _ in range(2):
        assert whats(bring(records, tmp_path / "early")) == {ONE.id: "there"}
        found = {speed.machine.processor for speed in known(tmp_path / "early").speeds}
        assert found == {"a processor", "another"}
    assert whats(bring(records, tmp_path / "late")) == {ONE.id: "added"}
    assert known(tmp_path / "late") == known(tmp_path / "there")


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}'])
def test_damaged_times_cost_no_result(text: str, tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    times(tmp_path / "there", "torch").write_text(text)
    assert whats(bring(tmp_path / "there", tmp_path / "here")) == {ONE.id: "added"}
    assert not (Store(tmp_path / "here").folder(ONE.folder).path / MEASURED).exists()
    (outcome,) = collect(Store(tmp_path / "there"), tmp_path / "records")
    assert outcome.what == "added"


def test_times_of_other_weights_stay_where_they_are(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE)
    path = times(tmp_path / "there", "torch")
    content = json.loads(path.read_text()) | {"weights_sha256": "b" * 64}
    path.write_text(json.dumps(content))
    (outcome,) = bring(tmp_path / "there", tmp_path / "here")
    assert outcome.what == "added"
    assert "measured" in outcome.why
    assert known(tmp_path / "here") is None
