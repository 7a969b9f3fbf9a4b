"""Small records, as they are collected and read back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from smc_bench.store.merge import collect
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
