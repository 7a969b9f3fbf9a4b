from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smc_bench.cli.common import Session
from smc_bench.dispatch.slurm.jobs import JobsFile, Submitted
from smc_bench.dispatch.slurm.states import CellState, observe
from smc_bench.store.files import create_json
from smc_bench.store.record import Failure
from smc_bench.suite.expand import Plan
from tests.helpers.fake_slurm import FakeSlurm

LEASE = {"host": "elsewhere", "pid": 1, "born": 0.0, "started": "now"}


def look(session: Session, plan: Plan, begun: bool, fake: FakeSlurm, **job: Any) -> CellState:
    """State of one cell that was given job 7."""
    cell = next(iter(plan.cells.values()))
    folder = session.store.folder(cell.folder)
    jobs = JobsFile(session.store.root)
    jobs.folder.mkdir(parents=True, exist_ok=True)
    jobs.append([Submitted("7", (cell.id,), "slurm/x", 1, "now")])
    if begun:
        assert create_json(folder.attempt_file(1), {**LEASE, "slurm_job": "7"})
    if job:
        state = fake.state
        state.jobs["7"] = {"flags": {}, **job}
        state.save()
    return observe(session.store, {cell.id: cell}).states[cell.id]


@pytest.mark.parametrize(
    ("begun", "job", "word", "why"),
    [
        (True, {"state": "RUNNING", "node": "n1"}, "running", "job 7 on n1"),
        (False, {"state": "RUNNING", "node": "n1"}, "running", "job 7 on n1 (starting"),
        (False, {"state": "PENDING"}, "pending", "job 7: Resources"),
        (True, {"state": "PENDING"}, "pending", "job 7: Resources"),  # requeued
        (True, {"state": "NODE_FAIL"}, "interrupted", "ended as NODE_FAIL"),
        (True, {"state": "TIMEOUT", "exit": "0:15"}, "interrupted", "ended as TIMEOUT 0:15"),
        (False, {"state": "CANCELLED"}, "lost", "ended as CANCELLED"),
        (False, {"state": "CANCELLED", "gone": True}, "lost", "no trace of job 7"),
        (True, {"state": "OUT_OF_MEMORY"}, "failed", "out_of_memory: SLURM killed job 7"),
        (False, {}, "lost", "no trace of job 7"),
    ],
)
def test_what_slurm_says_of_what_the_disk_leaves_open(
    begun: bool,
    job: dict[str, Any],
    word: str,
    why: str,
    session: Session,
    plan: Plan,
    fake_slurm: FakeSlurm,
) -> None:
    state = look(session, plan, begun, fake_slurm, **job)
    assert state.word == word
    assert why in state.why
    assert state.in_queue is (word in {"running", "pending"})


def test_a_dependency_that_can_not_be_met_is_lost(
    session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    state = fake_slurm.state
    state.jobs["6"] = {"state": "FAILED", "flags": {}}
    state.save()
    flags = {"dependency": "afterok:6"}
    found = look(session, plan, False, fake_slurm, state="PENDING", flags=flags)
    assert (found.word, found.in_queue) == ("lost", False)


def test_slurms_own_log_tells_a_memory_kill_that_its_state_hides(
    session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    log = session.store.root / "slurm" / "x" / "7_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text("slurmstepd: error: Step 7.0 exceeded memory limit (2 > 1), being killed\n")
    found = look(session, plan, True, fake_slurm, state="FAILED", exit="0:9")
    assert found.failure is not None
    assert found.failure.type == "out_of_memory"


def test_the_cells_own_failure_beats_what_slurm_says(
    session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    cell = next(iter(plan.cells.values()))
    failure = Failure(type="diverged", message="nan", attempt=1, time="now")
    session.store.folder(cell.folder).write_failure(failure)
    found = look(session, plan, False, fake_slurm, state="FAILED", exit="1:0")
    assert (found.word, found.why) == ("failed", "diverged: nan")


@pytest.mark.parametrize("down", ["squeue", "sacct"])
def test_without_slurm_the_disk_is_believed_and_the_trouble_told(
    down: str, session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    fake_slurm.site(down=[down])
    found = look(session, plan, True, fake_slurm, state="FAILED")
    assert found.word == "running"
    assert found.why == "SLURM can't be asked"


def test_nothing_is_asked_where_nothing_was_submitted(
    session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    seen = observe(session.store, plan.cells)
    assert {state.word for state in seen.states.values()} == {"missing"}
    assert fake_slurm.state.calls == []


def test_hours_add_up_over_all_starts(
    session: Session, plan: Plan, fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    look(session, plan, True, fake_slurm, state="FAILED", seconds=30)
    cell = next(iter(plan.cells.values()))
    assert observe(session.store, {cell.id: cell}).job_seconds() == {"7": 30}
