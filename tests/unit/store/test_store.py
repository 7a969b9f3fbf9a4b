from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, write_json
from smc_bench.store.lease import STALE_SECONDS
from smc_bench.store.record import Failure, Record
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell
from tests.helpers.carried import digest
from tests.helpers.records import record_of
from tests.unit.suite.test_identity import BASE

CELL = Cell.model_validate(BASE)


def record(attempt: int = 1) -> Record:
    return Record.model_validate(record_of(CELL, attempt=attempt))


@pytest.fixture
def folder(tmp_path: Path) -> CellFolder:
    found = Store(tmp_path).folder(CELL.folder)
    found.create({"name": "cell"})
    return found


def finish(folder: CellFolder, attempt: int) -> None:
    artifacts = folder.path / "partial" / f"{attempt:03d}"
    (artifacts / "weights").mkdir(parents=True)
    (artifacts / "weights" / "w").write_text(str(attempt))
    (folder.path / "measured.json").write_text("{}")  # of weights that were there before
    folder.finish(record(attempt), {"validation": {}}, artifacts)
    assert not (folder.path / "measured.json").exists()


def lease(folder: CellFolder, attempt: int, **changes: object) -> None:
    path = folder.attempt_file(attempt)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_cell_goes_from_missing_to_done(folder: CellFolder) -> None:
    assert folder.state() == "missing"
    attempt = folder.claim()
    assert (attempt, folder.state()) == (1, "running")
    assert folder.claim() is None
    finish(folder, 1)
    assert folder.state() == "done"
    assert folder.claim() is None
    found = folder.record()
    assert found is not None
    assert found.metrics == {"accuracy": 50.0}
    assert (folder.path / "weights" / "w").read_text() == "1"
    assert not (folder.path / "partial").exists()


def test_a_finished_cell_hashes_all_that_it_leaves(folder: CellFolder) -> None:
    assert folder.claim() == 1
    layers = {"tensors": {"w": 2}, "events": []}
    artifacts = folder.path / "partial" / "001"
    artifacts.mkdir(parents=True)
    (artifacts / "layers.json.gz").write_bytes(gzip.compress(json.dumps(layers).encode()))
    line = {"phase": "train", "step": 1, "total": 1, "loss": 0.5, "attempt": 1}
    given_up = (folder.path / "train.jsonl").open("a")
    given_up.write(json.dumps(line) + "\n")
    given_up.flush()
    folder.finish(record(), {"validation": {}}, artifacts)
    # A worker that was given up, and lives on, has the old file open.
    given_up.write(json.dumps({**line, "loss": 9.9}) + "\n")
    given_up.close()
    assert (folder.path / "train.jsonl").read_text() == json.dumps(line) + "\n"
    written = json.loads((folder.path / "record.json").read_text())
    assert written["layers_sha256"] == digest(layers)
    assert written["curve_sha256"] == digest([{"step": 1, "loss": 0.5}])
    assert written.pop("record_sha256") == digest(written)


def test_a_record_that_was_changed_after_its_cell_finished_is_damaged(folder: CellFolder) -> None:
    assert folder.claim() == 1
    finish(folder, 1)
    path = folder.path / "record.json"
    content = json.loads(path.read_text())
    content["train_seconds"] += 1.0
    path.write_text(json.dumps(content))
    assert folder.state() == "damaged"
    with pytest.raises(StoreError, match="was changed after it was written"):
        folder.record()


def test_only_one_of_many_processes_takes_a_cell(folder: CellFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from smc_bench.store.store import CellFolder\n"
        "print(CellFolder(Path(sys.argv[1])).claim(), flush=True); sys.stdin.read()"
    )
    command, pipe = [sys.executable, "-c", code, str(folder.path)], subprocess.PIPE
    racers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    taken = [racer.stdout.readline().strip() for racer in racers if racer.stdout is not None]
    # Until all have spoken all live: a holder that has ended would leave the cell to the next.
    for racer in racers:
        racer.communicate("")
    assert sorted(taken) == ["1", *["None"] * 5]


def test_a_dead_holder_frees_the_cell(folder: CellFolder) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert folder.claim() == 1
    lease(folder, 1, pid=child.pid, born=psutil.Process(child.pid).create_time())
    assert folder.state() == "running"
    child.kill()
    child.wait()
    assert folder.state() == "interrupted"
    assert folder.claim() == 2


def test_another_process_with_the_same_number_is_not_the_holder(folder: CellFolder) -> None:
    folder.claim()
    lease(folder, 1, born=psutil.Process().create_time() - 100)
    assert folder.state() == "interrupted"


def test_a_holder_elsewhere_lives_by_its_heartbeat(folder: CellFolder) -> None:
    folder.claim()
    lease(folder, 1, host=socket.gethostname() + "-other")
    assert folder.state() == "running"
    old = time.time() - STALE_SECONDS - 5
    os.utime(folder.attempt_file(1), (old, old))
    assert folder.state() == "interrupted"


def test_an_older_attempt_can_not_finish(folder: CellFolder) -> None:
    folder.claim()
    folder.end_attempt(1, "interrupted")
    assert folder.claim() == 2
    with pytest.raises(StoreError, match="newer attempt"):
        finish(folder, 1)
    assert folder.record() is None
    finish(folder, 2)
    assert (folder.path / "weights" / "w").read_text() == "2"


def test_newest_complete_checkpoint_of_any_attempt(folder: CellFolder) -> None:
    for attempt, step in ((1, 30), (2, 20)):
        temporary = folder.path / "checkpoints" / f"{attempt:03d}" / f".step-{step:08d}"
        temporary.mkdir(parents=True)
        (temporary / "state").write_text("x")
        folder.commit_checkpoint(temporary)
    (folder.path / "checkpoints" / "002" / ".step-00000040").mkdir()
    found = folder.newest_checkpoint()
    assert found is not None
    assert found.name == "step-00000030"


def test_failure_is_kept_until_the_next_attempt(folder: CellFolder) -> None:
    folder.claim()
    folder.write_failure(Failure(type="diverged", message="inf", attempt=1, time="t"))
    folder.end_attempt(1, "diverged")
    assert folder.state() == "failed"
    assert folder.claim() == 2
    assert folder.failure() is None


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1}', "[]"])
def test_torn_records_are_named(folder: CellFolder, text: str) -> None:
    (folder.path / "record.json").write_text(text)
    with pytest.raises(StoreError, match=r"record\.json"):
        folder.record()


def test_json_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_results_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match=r"can't be written there .*--results"):
        Store(tmp_path / "results").check_writable()


def test_files_of_other_names_are_no_attempts_and_no_checkpoints(folder: CellFolder) -> None:
    assert folder.claim() == 1
    (folder.path / "attempts" / "9x.json").write_text("{}")
    good = folder.path / "checkpoints" / "001" / "step-00000003"
    for path in (good, good.with_name("step-5x"), good.parents[1] / "1x" / "step-9"):
        path.mkdir(parents=True)
    assert folder.latest_attempt() == 1
    assert folder.newest_checkpoint() == good
    assert folder.state() == "running"


@pytest.mark.parametrize("text", ["", "[1]", "3", '{"step": "x"}', '{"step": [1]}'])
def test_a_damaged_lease_says_nothing_and_stops_nothing(folder: CellFolder, text: str) -> None:
    assert folder.claim() == 1
    folder.attempt_file(1).write_text(text)
    assert folder.slurm_holder() is None
    folder.end_attempt(1, "interrupted")
    assert folder.stuck_at(1) == 0
    assert folder.claim() == 2


def test_a_record_knows_its_results_by_example_however_they_are_packed(folder: CellFolder) -> None:
    assert folder.claim() == 1
    finish(folder, 1)
    found = folder.record()
    assert found is not None
    expected = hashlib.sha256(b'{"validation":{}}').hexdigest()
    assert found.predictions_sha256 == expected
