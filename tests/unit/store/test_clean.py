from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.store.clean import UNFINISHED_SECONDS, leftovers, remove, room
from smc_bench.store.files import adopt
from smc_bench.store.lease import STALE_SECONDS
from smc_bench.store.store import CellFolder, Store

TEACHER, STUDENT, OTHER = "a" * 12, "b" * 12, "c" * 12


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def make_cell(store: Store, cell_id: str, teacher: str | None = None) -> CellFolder:
    folder = store.folder(f"sst2/tiny-{cell_id}")
    folder.create({"teacher": teacher})
    return folder


def put(path: Path, text: str = "x" * 5000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree(store: Store) -> set[str]:
    return {str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file()}


def dead_attempt(folder: CellFolder) -> int:
    attempt = folder.claim()
    assert attempt is not None
    put(folder.path / "partial" / f"{attempt:03d}" / "weights" / "w")
    put(folder.path / "checkpoints" / f"{attempt:03d}" / f"step-{attempt:08d}" / "state")
    put(folder.path / "checkpoints" / f"{attempt:03d}" / ".step-00000099" / "state")
    folder.end_attempt(attempt, "interrupted")
    return attempt


def cleaned(store: Store, older_than: float | None = None) -> set[str]:
    """Files that were removed."""
    before = tree(store)
    remove(leftovers(store, older_than))
    assert tree(store) <= before
    return before - tree(store)


def test_a_finished_cell_keeps_its_results_alone(store: Store) -> None:
    folder = make_cell(store, TEACHER)
    dead_attempt(folder)
    kept = {"record.json", "predictions.json.gz", "weights/w", "train.jsonl", "worker.log"}
    for name in kept:
        put(folder.path / name)
    cleaned(store)
    left = {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}
    assert left == kept | {"cell.json", "attempts/001.json"}


def test_an_unfinished_cell_keeps_what_it_resumes_from(store: Store) -> None:
    folder = make_cell(store, TEACHER)
    dead_attempt(folder)
    dead_attempt(folder)
    put(folder.path / "failure.json", "{}")
    put(folder.path / "weights" / "w")
    newest = folder.newest_checkpoint()
    cleaned(store)
    assert newest == folder.newest_checkpoint() == folder.path / "checkpoints/002/step-00000002"
    left = {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}
    words = {"cell.json", "failure.json", "attempts/001.json", "attempts/002.json"}
    assert left == words | {"checkpoints/002/step-00000002/state"}
    assert folder.claim() == 3


@pytest.mark.parametrize("done", [True, False])
def test_a_live_lease_protects_the_whole_cell(store: Store, done: bool) -> None:
    folder = make_cell(store, TEACHER)
    dead_attempt(folder)
    assert folder.claim() == 2
    put(folder.path / "partial" / "002" / "weights" / "w")
    if done:
        put(folder.path / "record.json")
    assert cleaned(store) == set()


def test_an_older_attempt_that_still_runs_protects_it_too(store: Store) -> None:
    folder = make_cell(store, TEACHER)
    dead_attempt(folder)
    first = folder.attempt_file(1)
    lease = json.loads(first.read_text())
    lease.pop("ended")
    first.write_text(json.dumps(lease | {"host": socket.gethostname() + "-other"}))
    assert folder.claim() is None  # its heartbeat is fresh
    first.with_name("002.json").write_text(json.dumps(lease | {"ended": "t"}))
    assert cleaned(store) == set()
    old = time.time() - STALE_SECONDS - 5
    os.utime(first, (old, old))
    assert cleaned(store) != set()


def test_a_cell_taken_between_finding_and_removing_is_left_alone(store: Store) -> None:
    folder = make_cell(store, TEACHER)
    dead_attempt(folder)
    found = leftovers(store)
    assert found
    assert folder.claim() == 2
    before = tree(store)
    assert remove(found) == []
    assert tree(store) == before


def test_hidden_files_go_only_when_nobody_can_be_writing_them(store: Store) -> None:
    folder = make_cell(store, TEACHER)
    young, old = put(folder.path / ".a.tmp"), put(folder.path / ".b.tmp")
    then = time.time() - UNFINISHED_SECONDS - 60
    os.utime(old, (then, then))
    assert cleaned(store) == {str(old.relative_to(store.root))}
    assert young.exists()


def test_the_folder_of_a_killed_merge_goes_when_it_can_be_at_work_no_more(store: Store) -> None:
    put(store.root / ".merge-abc" / "cells" / "sst2" / "x" / "record.json")
    assert cleaned(store) == set()
    then = time.time() - UNFINISHED_SECONDS - 60
    for path in (store.root / ".merge-abc", *(store.root / ".merge-abc").rglob("*")):
        os.utime(path, (then, then))
    assert cleaned(store) == {".merge-abc/cells/sst2/x/record.json"}
    assert not (store.root / ".merge-abc").exists()


def artefact(store: Store, name: str, teacher: str | None, days: float = 0.0) -> Path:
    folder = store.root / "artefacts" / "logits" / name
    files = [put(folder / "logits.bin")]
    if teacher:
        files.append(put(folder / "artefact.json", json.dumps({"made": {"teacher": teacher}})))
    then = time.time() - 86400 * days
    for path in (*files, folder):
        os.utime(path, (then, then))
    return folder


def test_artefacts_go_with_their_teacher_or_when_asked_by_age(store: Store) -> None:
    make_cell(store, TEACHER)
    kept, gone = artefact(store, "1" * 64, TEACHER), artefact(store, "2" * 64, OTHER)
    old, unnamed = artefact(store, "3" * 64, TEACHER, 9), artefact(store, "4" * 64, None, 9)
    assert {item.path for item in leftovers(store)} == {gone}
    assert {item.path for item in leftovers(store, 7 * 86400)} == {gone, old, unnamed}
    cleaned(store, 7 * 86400)
    assert list(kept.parent.iterdir()) == [kept]


def test_artefacts_that_a_running_cell_may_read_stay(store: Store) -> None:
    make_cell(store, TEACHER)
    student = make_cell(store, STUDENT, TEACHER)
    read, other = artefact(store, "1" * 64, TEACHER, 9), artefact(store, "2" * 64, OTHER, 9)
    unnamed = artefact(store, "3" * 64, None, 9)
    assert student.claim() == 1
    assert {item.path for item in leftovers(store, 0.0)} == {other}
    student.end_attempt(1, "interrupted")
    assert {item.path for item in leftovers(store, 0.0)} == {read, other, unnamed}


def test_beginnings_stay_while_a_cell_that_shares_one_is_unfinished(store: Store) -> None:
    first, second = make_cell(store, STUDENT), make_cell(store, OTHER)
    kept = put(store.root / "artefacts" / "prefix" / "0123" / "state")
    for folder in (first, second):
        folder.note_sharing(10)
    put(first.path / "record.json", "{}")
    assert cleaned(store) == set()

    put(second.path / "record.json", "{}")
    assert cleaned(store) == {str(kept.relative_to(store.root))}


def test_room_counts_a_file_once_all_its_names_go(tmp_path: Path) -> None:
    first = tmp_path / "step-1"
    put(first / "state", "x" * 100_000)
    second = adopt(first, tmp_path / "step-2")
    assert room([first]) == 0
    assert room([first, second]) >= 100_000


def test_the_verb_says_what_it_frees_and_dry_run_only_says(store: Store) -> None:
    folder = make_cell(store, TEACHER)
    dead_attempt(folder)
    before = tree(store)
    words = ["clean", "--results", str(store.root)]
    said = CliRunner().invoke(cli, [*words, "--dry-run"])
    assert said.exit_code == 0
    assert "partial/001" in said.output
    assert "would free" in said.output
    assert tree(store) == before
    done = CliRunner().invoke(cli, words)
    assert "freed" in done.output
    assert [x for x in done.output.splitlines() if "MiB  " in x] == [
        x for x in said.output.splitlines() if "MiB  " in x
    ]
    assert "nothing to clean" in CliRunner().invoke(cli, words).output
    assert CliRunner().invoke(cli, [*words, "--older-than", "3"]).exit_code == 2
