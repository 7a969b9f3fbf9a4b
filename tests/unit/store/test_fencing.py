from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from smc_bench.errors import StoreError
from smc_bench.store import files
from smc_bench.store.files import adopt, create_json, read_json, remove_folder
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell
from tests.helpers.records import record_of
from tests.unit.suite.test_identity import BASE

CELL = Cell.model_validate(BASE)


def record(attempt: int) -> Record:
    return Record.model_validate(record_of(CELL, attempt=attempt))


def artifacts(cell: CellFolder, attempt: int) -> Path:
    folder = cell.path / "partial" / f"{attempt:03d}"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "model").write_text(f"of attempt {attempt}")
    return folder


def checkpoint(cell: CellFolder, attempt: int, step: int) -> Path:
    folder = cell.path / "checkpoints" / f"{attempt:03d}" / f".step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "state").write_text(f"attempt {attempt} step {step}")
    return folder


@pytest.fixture
def cell(tmp_path: Path) -> CellFolder:
    """A cell whose first attempt was given up while it still runs, and whose second has begun."""
    cell = CellFolder(tmp_path / CELL.folder)
    assert cell.claim() == 1
    cell.end_attempt(1, "given up")
    assert cell.claim() == 2
    return cell


def test_one_of_many_claims_wins(tmp_path: Path) -> None:
    cell = CellFolder(tmp_path / "cell")
    start = threading.Barrier(8)
    won: list[int | None] = []

    def claim() -> None:
        start.wait()
        won.append(cell.claim())

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [attempt for attempt in won if attempt is not None] == [1]
    assert [path.name for path in cell.attempt_file(1).parent.iterdir()] == ["001.json"]


def test_a_claim_never_skips_over_one_that_came_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CellFolder(tmp_path / "cell")
    assert cell.claim() == 1
    cell.end_attempt(1, "dead")
    seen = CellFolder.alive

    def overtaken(self: CellFolder, attempt: int) -> bool:
        dead = seen(self, attempt)
        monkeypatch.setattr(CellFolder, "alive", seen)
        assert self.claim() == 2  # another runner, between this one's look and its claim
        return dead

    monkeypatch.setattr(CellFolder, "alive", overtaken)
    assert cell.claim() is None
    assert cell.latest_attempt() == 2


def test_the_older_attempt_can_not_finish(cell: CellFolder) -> None:
    with pytest.raises(StoreError, match="newer attempt"):
        cell.finish(record(1), {}, artifacts(cell, 1))
    assert cell.state() == "running"
    assert not (cell.path / "weights").exists()
    cell.finish(record(2), {}, artifacts(cell, 2))
    assert (cell.path / "weights" / "model").read_text() == "of attempt 2"


def test_a_cell_is_finished_once_even_if_the_check_came_too_early(
    cell: CellFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.finish(record(2), {}, artifacts(cell, 2))
    # An attempt that was stopped after its last look, and woke when the other had finished.
    monkeypatch.setattr(CellFolder, "_check_not_overtaken", lambda *_: None)
    with pytest.raises(StoreError, match="has finished this cell"):
        cell.finish(record(1), {}, artifacts(cell, 1))
    found = cell.record()
    assert found is not None
    assert found.attempt == 2


def test_done_between_look_and_claim_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CellFolder(tmp_path / "cell")
    answers = iter([False, True])
    monkeypatch.setattr(CellFolder, "_is_done", lambda self: next(answers))
    assert cell.claim() is None


def test_an_adopted_checkpoint_outlives_its_owners_next_one(cell: CellFolder) -> None:
    cell.commit_checkpoint(checkpoint(cell, 1, 10))
    taken = cell.newest_checkpoint(2)
    assert taken is not None
    assert taken.parent.name == "002"
    cell.commit_checkpoint(checkpoint(cell, 1, 20))  # the older attempt still runs
    assert (taken / "state").read_text() == "attempt 1 step 10"


def test_an_older_attempts_checkpoint_never_removes_the_newers(cell: CellFolder) -> None:
    cell.commit_checkpoint(checkpoint(cell, 2, 10))
    cell.commit_checkpoint(checkpoint(cell, 1, 30))
    kept = {p.relative_to(cell.path).as_posix() for p in cell.path.glob("checkpoints/*/step-*")}
    assert kept == {"checkpoints/001/step-00000030", "checkpoints/002/step-00000010"}
    cell.commit_checkpoint(checkpoint(cell, 2, 40))
    kept = {p.relative_to(cell.path).as_posix() for p in cell.path.glob("checkpoints/*/step-*")}
    assert kept == {"checkpoints/002/step-00000040"}


def test_a_checkpoint_that_vanishes_while_it_is_adopted_is_looked_up_again(
    cell: CellFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.commit_checkpoint(checkpoint(cell, 1, 10))
    link = os.link

    def slow_link(source: str, target: str) -> None:
        monkeypatch.setattr(files.os, "link", link)
        cell.commit_checkpoint(checkpoint(cell, 1, 20))
        link(source, target)

    monkeypatch.setattr(files.os, "link", slow_link)
    taken = cell.newest_checkpoint(2)
    assert taken is not None
    assert (taken / "state").read_text() == "attempt 1 step 20"


def test_adopt_leaves_nothing_of_a_vanished_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    remove_folder(source)
    with pytest.raises(FileNotFoundError):
        adopt(source, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_create_json_leaves_no_torn_file_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        create_json(tmp_path / "lease.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert create_json(tmp_path / "lease.json", {"a": 1})
    assert not create_json(tmp_path / "lease.json", {"a": 2})
    assert read_json(tmp_path / "lease.json") == {"a": 1}


def test_unfinished_parts_go_and_complete_checkpoints_stay(cell: CellFolder) -> None:
    cell.commit_checkpoint(checkpoint(cell, 2, 10))
    checkpoint(cell, 2, 20)
    artifacts(cell, 2)
    cell.discard_unfinished(2)
    assert [p.name for p in (cell.path / "checkpoints" / "002").iterdir()] == ["step-00000010"]
    assert not (cell.path / "partial" / "002").exists()
