"""The pool over stand-in workers that only write what a worker would leave."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from smc_bench.dispatch import local
from smc_bench.dispatch.local import LocalPool, Options
from smc_bench.engine.recipe import Execution
from smc_bench.sources import Roots
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE

# Leaves a record or a failure as its cell's seed says, and a line with what it was given.
STAND_IN = """
import json, os, sys
from pathlib import Path
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
cell = json.loads((folder / "cell.json").read_text())
with log.open("a") as file:
    keys = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
    file.write(json.dumps({"seed": cell["seed"], **{k: os.environ.get(k) for k in keys}}) + "\\n")
if cell["seed"] == 13:
    os.kill(os.getpid(), 9)
(folder / "attempts").mkdir(exist_ok=True)
if cell["seed"] == 14:
    failure = {"type": "diverged", "message": "nan", "attempt": 1, "time": "t"}
    (folder / "failure.json").write_text(json.dumps(failure))
    sys.exit(1)
(folder / "record.json").write_text("{}")
"""


def cell(seed: int, teacher: str | None = None) -> Cell:
    return Cell.model_validate(BASE | {"seed": seed, "teacher": teacher})


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script, log = tmp_path / "stand_in.py", tmp_path / "log"
    script.write_text(STAND_IN)
    log.touch()
    start = local.subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        folder = tmp_path / "results" / "cells" / command[3]
        return start([sys.executable, str(script), str(folder), str(log)], **options)

    monkeypatch.setattr(local.subprocess, "Popen", popen)
    monkeypatch.setattr(local, "_POLL_SECONDS", 0.02)

    def make(**options: Any) -> LocalPool:
        roots = Roots(None, tmp_path / "cache", offline=True)
        return LocalPool(Store(tmp_path / "results"), roots, Execution(), Options(**options))

    make.lines = lambda: [__import__("json").loads(x) for x in log.read_text().splitlines()]
    return make


def run(pool: LocalPool, *cells: Cell) -> Any:
    return pool.run({c.id: c for c in cells})


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
    run(pool(retry=True), cell(13), cell(14), cell(2))
    assert [line["seed"] for line in pool.lines()][4:] == [13, 14]


def test_cores_are_shared_out_and_workers_are_passive(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    run(pool(jobs=4), cell(1))
    run(pool(jobs=4), *[cell(seed) for seed in range(2, 6)])
    threads = [line["OMP_NUM_THREADS"] for line in pool.lines()]
    assert threads == ["8", "2", "2", "2", "2"]
    assert {line["OMP_WAIT_POLICY"] for line in pool.lines()} == {"passive"}


def test_each_slot_has_a_gpu_of_its_own(pool: Any) -> None:
    run(pool(jobs=2, gpus=("3", "5")), *[cell(seed) for seed in range(1, 7)])
    seen = [line["CUDA_VISIBLE_DEVICES"] for line in pool.lines()]
    assert sorted(seen[:2]) == ["3", "5"]
    assert set(seen) == {"3", "5"}
