"""The pool over stand-in workers that only write what a worker would leave."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from smc_bench.dispatch.backend import Outcome, Status
from smc_bench.dispatch.local import pool as local
from smc_bench.dispatch.local.pool import LocalPool, Options
from smc_bench.dispatch.local.worker_process import WorkerProcess
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE

# Leaves records or failures as its cells' seeds say, and a line with what it was given.
STAND_IN = """
import json, os, sys
from pathlib import Path
results, log = Path(sys.argv[1]), Path(sys.argv[2])
for line in sys.stdin:
    request = json.loads(line)
    folder = results / "cells" / request["cell"]
    cell = json.loads((folder / "cell.json").read_text())
    with log.open("a") as file:
        keys = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
        given = {"seed": cell["seed"], "pid": os.getpid(), "threads": request["threads"]}
        file.write(json.dumps({**given, **{k: os.environ.get(k) for k in keys}}) + "\\n")
    (folder / "attempts").mkdir(exist_ok=True)
    if cell["seed"] == 13:
        # Taken, as a worker takes it: an attempt more, by somebody who is no more.
        number = len(list((folder / "attempts").iterdir())) + 1
        (folder / "attempts" / f"{number:03d}.json").write_text('{"ended": "t", "how": "x"}')
        os.kill(os.getpid(), 9)
    if cell["seed"] == 14:
        failure = {"type": "diverged", "message": "nan", "attempt": 1, "time": "t"}
        (folder / "failure.json").write_text(json.dumps(failure))
        sys.exit(1)
    (folder / "record.json").write_text("{}")
    if cell["seed"] == 15:
        sys.exit(0)
    print(json.dumps({"free": request["cell"]}), flush=True)
"""


def cell(seed: int, teacher: str | None = None) -> Cell:
    return Cell.model_validate(BASE | {"seed": seed, "teacher": teacher})


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script, log = tmp_path / "stand_in.py", tmp_path / "log"
    script.write_text(STAND_IN)
    log.touch()

    def command(*_: Any) -> list[str]:
        return [sys.executable, str(script), str(tmp_path / "results"), str(log)]

    monkeypatch.setattr(WorkerSpec, "command", command)
    monkeypatch.setattr(local, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(CellFolder, "record", lambda _: None)  # their records are stand-ins too

    def make(**options: Any) -> LocalPool:
        spec = WorkerSpec(tmp_path / "results", tmp_path / "cache")
        return LocalPool(spec, Options(**options))

    make.lines = lambda: [__import__("json").loads(x) for x in log.read_text().splitlines()]
    return make


def run(pool: LocalPool, *cells: Cell, look: Any = lambda _: None, retry: bool = False) -> Outcome:
    by_id = {c.id: c for c in cells}
    pool.submit(by_id, retry=retry)
    return pool.wait(by_id, look)


def test_students_wait_for_their_teacher(pool: Any) -> None:
    teacher = cell(1)
    students = [cell(seed, teacher.id) for seed in (2, 3)]
    outcome = run(pool(jobs=2), *students, teacher)
    assert set(outcome.done) == {c.id for c in (teacher, *students)}
    assert pool.lines()[0]["seed"] == 1


def test_students_of_a_failed_teacher_are_not_run(pool: Any) -> None:
    teacher, student, other = cell(14), cell(2, cell(14).id), cell(3)
    outcome = run(pool(jobs=2), teacher, student, other)
    assert outcome.done == [other.id]
    assert "diverged: nan" in outcome.failed[teacher.id]
    assert "its teacher" in outcome.blocked[student.id]


def test_a_killed_worker_costs_its_own_cell_alone(pool: Any) -> None:
    outcome = run(pool(jobs=1), cell(13), cell(2), cell(3))
    assert len(outcome.done) == 2
    assert "out-of-memory killer" in outcome.failed[cell(13).id]


def test_done_cells_are_not_run_again_but_killed_ones_are(pool: Any) -> None:
    run(pool(), cell(13), cell(14), cell(2))
    assert [line["seed"] for line in pool.lines()] == [13, 14, 2]
    run(pool(), cell(13), cell(14), cell(2))
    assert [line["seed"] for line in pool.lines()][3:] == [13]
    run(pool(), cell(13), cell(14), cell(2), retry=True)
    assert [line["seed"] for line in pool.lines()][4:] == [13, 14]


def test_cores_are_shared_out_and_workers_are_passive(pool: Any) -> None:
    run(pool(jobs=4), cell(1))
    run(pool(jobs=4), *[cell(seed) for seed in range(2, 6)])
    assert [line["threads"] for line in pool.lines()] == [8, 2, 2, 2, 2]
    assert {line["OMP_NUM_THREADS"] for line in pool.lines()} == {"8", "2"}
    assert {line["OMP_WAIT_POLICY"] for line in pool.lines()} == {"passive"}


def test_each_slot_has_a_gpu_of_its_own(pool: Any) -> None:
    run(pool(jobs=2, gpus=("3", "5")), *[cell(seed) for seed in range(1, 7)])
    seen = {(line["pid"], line["CUDA_VISIBLE_DEVICES"]) for line in pool.lines()}
    assert sorted(gpu for _, gpu in seen) == ["3", "5"]


def test_a_cell_that_fails_before_its_process_is_looked_at_is_not_run_twice(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = WorkerProcess.give

    def slow(self: Any, which: Cell, threads: int) -> bool:
        given = give(self, which, threads)
        if which.seed == 14:
            self.process.wait()
            return False
        return given

    monkeypatch.setattr(WorkerProcess, "give", slow)
    outcome = run(pool(), cell(1), cell(14), cell(2))
    assert [line["seed"] for line in pool.lines()] == [1, 14, 2]
    assert "diverged" in outcome.failed[cell(14).id]


def test_a_cell_whose_process_dies_at_once_is_not_run_twice(
    pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that goes on from an earlier attempt: its state is the same before and after."""
    give = WorkerProcess.give

    def slow(self: Any, which: Cell, threads: int) -> bool:
        given = give(self, which, threads)
        if which.seed == 13:
            self.process.wait()
            return False
        return given

    attempts = tmp_path / "results" / "cells" / cell(13).folder / "attempts"
    attempts.mkdir(parents=True)
    (attempts / "001.json").write_text('{"ended": "t", "how": "interrupted"}')
    monkeypatch.setattr(WorkerProcess, "give", slow)
    outcome = run(pool(), cell(1), cell(13), cell(2))
    assert [line["seed"] for line in pool.lines()] == [1, 13, 2]
    assert "killed" in outcome.failed[cell(13).id]


def test_a_process_takes_the_next_cell_until_something_goes_wrong(pool: Any) -> None:
    run(pool(), *[cell(seed) for seed in (1, 2, 14, 3, 13, 4, 15, 5, 6)])
    groups: dict[int, list[int]] = {}
    for line in pool.lines():
        groups.setdefault(line["pid"], []).append(line["seed"])
    # A failed, a killed and a retired process take nothing with them and are followed by a new one.
    assert list(groups.values()) == [[1, 2, 14], [3, 13], [4, 15], [5, 6]]


def test_no_process_outlives_the_run(pool: Any) -> None:
    run(pool(jobs=2), *[cell(seed) for seed in range(1, 5)])
    for line in pool.lines():
        assert not psutil.pid_exists(line["pid"])


def test_a_cell_keeps_its_threads_and_nothing_runs_beside_it_that_has_no_core(
    pool: Any, tmp_path: Path
) -> None:
    begun = cell(2)
    folder = tmp_path / "results" / "cells" / begun.folder
    folder.mkdir(parents=True)
    (folder / "execution.json").write_text('{"execution": {}, "threads": 8}')
    most = 0

    started = pool(jobs=3)

    def watch(_: Status) -> None:
        nonlocal most
        most = max(most, sum(worker.threads for worker in started.workers))

    cells = [cell(1), begun, *[cell(seed) for seed in range(3, 7)]]
    outcome = run(started, *cells, look=watch)
    assert len(outcome.done) == 6
    assert {line["seed"]: line["threads"] for line in pool.lines()}[2] == 8
    assert most == 8


def test_more_jobs_than_cores_do_not_run_at_once(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: 2)
    most = 0

    def watch(status: Status) -> None:
        nonlocal most
        most = max(most, sum(state.word == "running" for state in status.values()))

    outcome = run(pool(jobs=4), *[cell(seed) for seed in range(1, 7)], look=watch)
    assert len(outcome.done) == 6
    assert most == 2


def test_a_mistake_in_the_display_costs_no_cell(
    pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(_: Status) -> None:
        raise ZeroDivisionError

    outcome = run(pool(jobs=2), *map(cell, (1, 2, 3)), look=wrong)
    assert len(outcome.done) == 3
    assert caplog.text.count("progress is not shown any more: ZeroDivisionError") == 1


def test_the_status_of_a_run_goes_from_pending_to_its_end(pool: Any) -> None:
    cells = [cell(seed, teacher) for seed, teacher in ((1, None), (14, None), (2, cell(14).id))]
    seen: list[dict[str, str]] = []

    def look(status: Status) -> None:
        seen.append({key: state.word for key, state in status.items()})

    run(pool(jobs=1), *cells, look=look)
    keys = [one.id for one in cells]
    assert seen[0] == dict(zip(keys, ("running", "pending", "pending"), strict=True))
    assert seen[-1] == dict(zip(keys, ("done", "failed", "blocked"), strict=True))


def test_cancelled_cells_are_not_started_and_the_others_are(pool: Any) -> None:
    started, cells = pool(jobs=1), {one.id: one for one in map(cell, (1, 2, 3))}
    assert set(started.submit(cells).submitted) == set(cells)
    assert started.cancel({cell(2).id: cell(2)}) == 1
    assert set(started.wait(cells).done) == {cell(1).id, cell(3).id}
    assert started.status(cells)[cell(2).id].word == "missing"
