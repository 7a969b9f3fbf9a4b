"""A run that is told to stop: it says so, asks once, and never waits for ever."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from smc_bench.dispatch.backend import Outcome
from smc_bench.dispatch.local import pool as local
from smc_bench.dispatch.local import stop
from smc_bench.dispatch.local.pool import LocalPool, Options
from smc_bench.dispatch.local.worker_process import WorkerProcess
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE

# Takes the cell as a worker does, says that it has it, and never ends by itself.
STAND_IN = """
import json, os, signal, subprocess, sys
from pathlib import Path
from smc_bench.store.store import CellFolder
results, deaf = Path(sys.argv[1]), sys.argv[2] == "deaf"
request = json.loads(sys.stdin.readline())
folder = CellFolder(results / "cells" / request["cell"])
attempt = folder.claim()
def leave(*_):
    folder.end_attempt(attempt, "interrupted")
    (folder.path / "left").touch()
    sys.exit(4)
signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else leave)
child = subprocess.Popen(["sleep", "1000"]) if deaf else None
(folder.path / "ready").write_text(json.dumps([os.getpid(), child and child.pid]))
while True:
    signal.pause()
"""


def cell(seed: int) -> Cell:
    return Cell.model_validate(BASE | {"seed": seed, "teacher": None})


Tick = Callable[[LocalPool], None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    kind = "deaf"

    def command(*_: Any) -> list[str]:
        return [sys.executable, str(script), str(tmp_path / "results"), kind]

    monkeypatch.setattr(WorkerSpec, "command", command)
    monkeypatch.setattr(local, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def start(on_tick: Tick, *cells: Cell, deaf: bool = True, jobs: int = 2) -> Outcome:
        nonlocal kind
        kind = "deaf" if deaf else "obedient"
        spec = WorkerSpec(tmp_path / "results", tmp_path / "cache")
        pool, by_id = LocalPool(spec, Options(jobs=jobs)), {c.id: c for c in cells}
        pool.submit(by_id)
        return pool.wait(by_id, lambda _: on_tick(pool))

    return start


def folders(tmp_path: Path) -> list[CellFolder]:
    return [CellFolder(path) for path in sorted(tmp_path.glob("results/cells/*/*"))]


def all_ready(pool: LocalPool) -> bool:
    found = [pool.store.folder(c.folder).path / "ready" for c in pool.running]
    return bool(found) and all(path.exists() and path.read_text() for path in found)


def strike(*numbers: int) -> Tick:
    """Once every worker has its cell, send these signals to this process, one a tick."""
    left = list(numbers)

    def tick(pool: LocalPool) -> None:
        if left and all_ready(pool):
            os.kill(os.getpid(), left.pop(0))

    return tick


def check_all_gone(tmp_path: Path) -> None:
    for folder in folders(tmp_path):
        pids = json.loads((folder.path / "ready").read_text())
        for pid in filter(None, pids):
            try:  # what is nobody's child any more may wait for the system to reap it
                assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                continue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_that_save_and_leave(
    run: Any, tmp_path: Path, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run(strike(number), cell(1), cell(2), deaf=False)
    assert (outcome.interrupted, outcome.signal) == (True, number)
    assert (outcome.done, outcome.failed) == ([], {})
    said = capfd.readouterr().err
    assert "stopping: waiting for" in said
    assert all(one.slug in said for one in (cell(1), cell(2)))
    assert f"{stop.GRACE_SECONDS:.0f} s at most" in said
    assert all((folder.path / "left").exists() for folder in folders(tmp_path))


def test_a_second_signal_ends_what_is_deaf_and_frees_its_cell(
    run: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run(strike(signal.SIGINT, signal.SIGINT), cell(1), cell(2))
    assert outcome.signal == signal.SIGINT
    assert "ended at once" in capfd.readouterr().err
    check_all_gone(tmp_path)
    for folder in folders(tmp_path):
        lease = json.loads(folder.attempt_file(1).read_text())
        assert lease["how"] == "killed"
        assert folder.failure() is None  # it is not to blame
        assert folder.claim() == 2


def test_the_time_to_save_ends(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "GRACE_SECONDS", 0.0)
    assert run(strike(signal.SIGTERM), cell(1)).signal == signal.SIGTERM
    check_all_gone(tmp_path)


def test_a_cell_that_starts_while_the_signal_comes_is_asked_as_well(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = WorkerProcess.give

    def told_meanwhile(self: WorkerProcess, which: Cell, threads: int) -> bool:
        given = give(self, which, threads)
        path = tmp_path / "results" / "cells" / which.folder / "ready"
        while not path.exists():  # it has the cell, but the pool does not count it yet
            assert not self.gone
        os.kill(os.getpid(), signal.SIGTERM)
        return given

    monkeypatch.setattr(WorkerProcess, "give", told_meanwhile)
    outcome = run(lambda pool: None, cell(1), cell(2), deaf=False, jobs=1)
    assert outcome.signal == signal.SIGTERM
    (folder,) = folders(tmp_path)
    assert (folder.path / "left").exists()


def test_a_run_that_fails_leaves_no_process(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "GRACE_SECONDS", 0.0)

    def broken(pool: LocalPool) -> None:
        if all_ready(pool):
            monkeypatch.setattr(pool, "_reap", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run(broken, cell(1))
    check_all_gone(tmp_path)


def test_handlers_are_given_back(run: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    run(strike(signal.SIGINT), cell(1), deaf=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_full_disk_ends_a_cell_once_and_not_the_run(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CellFolder, "write_failure", full)

    def kill(pool: LocalPool) -> None:
        for worker in pool.workers:
            if all_ready(pool):
                worker.kill()

    outcome = run(kill, cell(1), cell(2), jobs=1)
    assert set(outcome.failed) == {cell(1).id, cell(2).id}
    assert all("No space left" in text for text in outcome.failed.values())
