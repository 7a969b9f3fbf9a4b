from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smc_bench.dispatch.slurm import job as slurm_job
from smc_bench.dispatch.slurm.job import RunCells
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.errors import SlurmError
from smc_bench.store.files import create_json, read_json
from smc_bench.store.store import CellFolder, Store
from tests.helpers.fake_slurm import FakeSlurm

# Stand-ins for a worker; sys.argv[1] is the cell's folder.
SUCCEED = "import sys; open(sys.argv[1] + '/record.json', 'w').write('{}')"
DIE = "import os; os.kill(os.getpid(), 9)"
FAIL = "import sys; open(sys.argv[1] + '/failure.json', 'w').write(FAILURE); sys.exit(1)".replace(
    "FAILURE",
    repr(json.dumps({"type": "diverged", "message": "nan", "attempt": 1, "time": "now"})),
)
TAKEN = "import sys; sys.exit(3)"
SAVE_ON_SIGNAL = """
import signal, sys, time
def save(*_):
    open(sys.argv[1] + '/saved', 'w').close()
    sys.exit(4)
signal.signal(signal.SIGUSR2, save)
open(sys.argv[1] + '/ready', 'w').close()
while True:
    signal.pause()
"""
INTERRUPTED_ONCE = """
import os, sys
again = os.path.exists(sys.argv[1] + '/begun')
open(sys.argv[1] + '/begun', 'w').close()
if not again:
    sys.exit(4)
open(sys.argv[1] + '/record.json', 'w').write('{}')
"""


@pytest.fixture
def job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_slurm: FakeSlurm
) -> Callable[..., RunCells]:
    """A job whose workers are stand-ins, one program a cell."""
    programs: dict[str, str] = {}
    cells = tmp_path / "results" / "cells"

    def command(_: WorkerSpec, relative: str) -> list[str]:
        return [sys.executable, "-c", programs[relative], str(cells / relative)]

    def make(patient: bool = False, **asked: str) -> RunCells:
        for name, program in asked.items():
            programs[f"t/{name}"] = program
            (cells / "t" / name).mkdir(parents=True, exist_ok=True)
        names = tuple(f"t/{name}" for name in asked)
        spec = WorkerSpec(tmp_path / "results", tmp_path / "cache")
        return RunCells(names, spec, patient=patient)

    monkeypatch.setattr(WorkerSpec, "command", command)
    monkeypatch.setattr(CellFolder, "record", lambda _: None)  # their records are stand-ins too
    before = signal.getsignal(signal.SIGTERM)
    yield make
    signal.signal(signal.SIGTERM, before)


def folder(tmp_path: Path, name: str) -> CellFolder:
    return Store(tmp_path / "results").folder(f"t/{name}")


def test_a_crash_costs_one_cell_and_fails_the_job(job: Any, tmp_path: Path) -> None:
    with pytest.raises(SlurmError, match=r"not done: t/killed, t/bad; "):
        job(good=SUCCEED, killed=DIE, bad=FAIL, last=SUCCEED)()
    states = {name: folder(tmp_path, name).state() for name in ("good", "killed", "bad", "last")}
    assert states == {"good": "done", "killed": "failed", "bad": "failed", "last": "done"}
    killed, bad = (folder(tmp_path, name).failure() for name in ("killed", "bad"))
    assert killed is not None
    assert (killed.type, "signal 9" in killed.message) == ("killed", True)
    assert bad is not None
    assert bad.type == "diverged"


def test_done_cells_are_not_started_again(job: Any, tmp_path: Path) -> None:
    run = job(done=DIE)
    (folder(tmp_path, "done").path / "record.json").write_text("{}")
    run()


def test_an_interrupted_cell_goes_on_in_the_same_job(job: Any, tmp_path: Path) -> None:
    job(cell=INTERRUPTED_ONCE)()
    assert folder(tmp_path, "cell").state() == "done"


def test_a_stop_of_the_whole_job_waits_for_the_kill_before_it_goes_on(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job(cell=INTERRUPTED_ONCE)
    held = []
    monkeypatch.setattr(run, "_hold", lambda: held.append(run._told_to_stop))
    run._told_to_stop = True
    run()
    assert held == [True]


def test_checkpoint_lets_the_worker_save_and_carries_no_state(job: Any, tmp_path: Path) -> None:
    run = job(cell=SAVE_ON_SIGNAL)
    again: list[Any] = []

    def handler(*_: object) -> None:  # as submitit's: inside the main thread's wait
        again.append(run.checkpoint())
        raise SystemExit(0)

    def interrupt() -> None:
        while not (folder(tmp_path, "cell").path / "ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(SystemExit):
            run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (folder(tmp_path, "cell").path / "saved").exists()
    function = pickle.loads(pickle.dumps(again[0].function))
    assert function.cells == ("t/cell",)
    assert function._process is None


def test_a_cell_that_never_gets_further_is_given_up(job: Any, tmp_path: Path) -> None:
    run = job(cell=SUCCEED)
    run._folder = cell = folder(tmp_path, "cell")
    for number in (1, 2, 3):
        assert run.checkpoint() is not None
        assert cell.claim() == number
        step = cell.path / "checkpoints" / f"{number:03d}" / ".step-00000005"
        step.mkdir(parents=True)
        cell.commit_checkpoint(step)
        cell.end_attempt(number, "interrupted")
    assert run.checkpoint() is None
    failure = cell.failure()
    assert failure is not None
    assert (failure.type, "at step 5" in failure.message) == ("timeout", True)


def test_progress_between_signals_is_no_reason_to_give_up(job: Any, tmp_path: Path) -> None:
    run = job(cell=SUCCEED)
    run._folder = cell = folder(tmp_path, "cell")
    for number in (1, 2, 3, 4):
        assert cell.claim() == number
        step = cell.path / "checkpoints" / f"{number:03d}" / f".step-{number:08d}"
        step.mkdir(parents=True)
        cell.commit_checkpoint(step)
        cell.end_attempt(number, "interrupted")
        assert run.checkpoint() is not None


def test_someone_elses_cell_is_left_to_them_unless_a_teacher(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_job, "STALE_SECONDS", -20.0)  # no patience at all
    run = job(cell=TAKEN)
    cell = folder(tmp_path, "cell")
    assert cell.claim() == 1  # held by this living process
    with pytest.raises(SlurmError, match="not done: t/cell"):
        run()
    patient = job(patient=True, cell=TAKEN)

    sleep = time.sleep

    def holder(seconds: float) -> None:
        """While the job waits for it, the holder finishes."""
        if seconds > slurm_job._POLL_SECONDS:
            (cell.path / "record.json").write_text("{}")
        else:
            sleep(seconds)

    monkeypatch.setattr(slurm_job.time, "sleep", holder)
    patient()


@pytest.mark.parametrize(
    ("lease", "states", "released"),
    [
        ({"slurm_job": "5_1", "slurm_restarts": 0}, "RUNNING", True),  # this very job, restarted
        ({"slurm_job": "5_1", "slurm_restarts": 1}, "RUNNING", False),  # this very start
        ({"slurm_job": "4", "slurm_restarts": 0}, "RUNNING", False),
        ({"slurm_job": "4", "slurm_restarts": 0}, "PENDING", True),  # waits to be started again
        ({"slurm_job": "4", "slurm_restarts": 0}, "FAILED", True),
        ({"slurm_job": "77"}, "RUNNING", True),  # SLURM does not know it any more
        ({}, "FAILED", False),  # no SLURM job: its heartbeat decides
    ],
)
def test_leases_of_slurm_jobs_that_are_over_are_released(
    lease: dict[str, Any],
    states: str,
    released: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fake_slurm: FakeSlurm,
) -> None:
    state = fake_slurm.state
    state.jobs = {"4": {"state": states, "flags": {}}}
    state.save()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    cell = CellFolder(tmp_path / "cell")
    other = {"host": "elsewhere", "pid": 1, "born": 0.0, "started": "now", **lease}
    assert create_json(cell.attempt_file(1), other)
    assert cell.state() == "running"
    slurm_job.release_if_over(cell)
    assert (cell.state() != "running") is released
    assert (cell.claim() == 2) is released


def test_an_unknown_queue_releases_nothing(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.site(down=["squeue"])
    cell = CellFolder(tmp_path / "cell")
    lease = {"host": "elsewhere", "pid": 1, "born": 0.0, "started": "now", "slurm_job": "4"}
    assert create_json(cell.attempt_file(1), lease)
    slurm_job.release_if_over(cell)
    assert cell.state() == "running"


def test_the_worker_names_its_job_in_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURMD_NODENAME", "node7")
    cell = CellFolder(tmp_path / "cell")
    assert cell.claim() == 1
    lease = read_json(cell.attempt_file(1))
    assert (lease["host"], lease["slurm_job"], lease["slurm_restarts"]) == ("node7", "9", 0)
    assert cell.slurm_holder() == "9"


def test_workers_run_offline_with_the_jobs_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from smc_bench.dispatch.worker.command import worker_environment

    environment = worker_environment(3)
    code = "import os, smc_bench; print(os.environ['OMP_NUM_THREADS'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True
    )
    assert done.stdout.strip() == "3", done.stderr
