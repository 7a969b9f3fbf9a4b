from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from submitit.core.utils import DelayedSubmission

from smc_bench.cli.common import Session
from smc_bench.dispatch.backend import Submission
from smc_bench.dispatch.slurm.jobs import JobsFile, Submitted
from smc_bench.dispatch.slurm.options import merged
from smc_bench.dispatch.slurm.states import observe
from smc_bench.dispatch.slurm.submit import Submitter
from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.engine.execution import Execution
from smc_bench.errors import SlurmError
from smc_bench.store.files import read_json
from smc_bench.store.record import Failure, FailureType
from smc_bench.suite.expand import Plan
from smc_bench.suite.slurm_section import SlurmSection
from tests.helpers.fake_slurm import FakeSlurm

Submit = Callable[..., Submission]


@pytest.fixture
def submit(session: Session, plan: Plan, fake_slurm: FakeSlurm, execution: Execution) -> Submit:
    def call(retry: bool = False, force: bool = False, **section: Any) -> Submission:
        options = merged(plan, SlurmSection(), SlurmSection(**section))
        steps = dict.fromkeys(plan.cells, 10)
        spec = WorkerSpec.of(session.store, session.roots, execution)
        return Submitter(spec, options, steps).submit(plan.cells, retry=retry, force=force)

    return call


def fail(session: Session, plan: Plan, key: str, kind: FailureType) -> None:
    folder = session.store.folder(plan.cells[key].folder)
    folder.write_failure(Failure(type=kind, message="so it was", attempt=1, time="now"))


def test_first_run_submits_all_and_notes_the_jobs(
    submit: Submit, session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    report = submit(partition="long", mem="2GB", time="2h", gpus=1, cpus=3, account="mine")
    teacher, free, bound = plan.cells
    assert report.submitted == {teacher: "1", free: "2", bound: "3"}
    jobs = fake_slurm.state.jobs
    assert "dependency" not in jobs["1"]["flags"]
    assert jobs["3"]["flags"]["dependency"] == "afterok:1"
    assert jobs["3"]["flags"]["kill-on-invalid-dep"] == "yes"
    flags = jobs["2"]["flags"]
    assert "requeue" in flags
    assert (flags["partition"], flags["account"], flags["mem"]) == ("long", "mine", "2048MB")
    assert (flags["time"], flags["gpus-per-node"], flags["cpus-per-task"]) == ("120", "1", "3")
    assert flags["signal"] == "USR2@120"
    noted = JobsFile(session.store.root).read()
    assert {job.job: job.cells for job in noted} == {"1": (teacher,), "2": (free,), "3": (bound,)}
    assert {job.gpus for job in noted} == {1}


@pytest.mark.parametrize(("gpus", "told"), [(0, None), (1, None), (2, 2)])
def test_a_worker_starts_a_process_for_each_gpu_of_its_one_task(
    gpus: int, told: int | None, submit: Submit, session: Session, fake_slurm: FakeSlurm
) -> None:
    submit(gpus=gpus)
    assert fake_slurm.state.jobs["2"]["flags"].get("ntasks-per-node", "1") == "1"
    pickles = list((session.store.root / "slurm").rglob("*submitted.pkl"))
    assert len(pickles) == 3
    assert {DelayedSubmission.load(path).function.spec.processes for path in pickles} == {told}


def test_second_run_submits_nothing(submit: Submit, fake_slurm: FakeSlurm) -> None:
    submit()
    assert submit().submitted == {}
    assert fake_slurm.state.calls.count("sbatch") == 3


def test_what_left_the_queue_undone_is_submitted_again(
    submit: Submit, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    submit()
    fake_slurm.set("2", state="CANCELLED", gone=True)
    assert submit().submitted == {list(plan.cells)[1]: "4"}


def test_students_wait_for_a_teacher_that_is_in_the_queue_already(
    submit: Submit, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    submit()
    fake_slurm.set("3", state="CANCELLED", gone=True)
    submit()
    assert fake_slurm.state.jobs["4"]["flags"]["dependency"] == "afterok:1"


def test_students_behind_a_dead_dependency_are_submitted_again(
    submit: Submit, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    submit()
    fake_slurm.set("1", state="FAILED", exit="1:0")
    # The teacher's folder names no failure of its own, so it is tried again, and they with it.
    assert set(submit().submitted) == {next(iter(plan.cells)), list(plan.cells)[2]}
    assert fake_slurm.state.jobs["5"]["flags"]["dependency"] == "afterok:4"


def test_failed_cells_stay_failed_until_retry(
    submit: Submit, session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    teacher, free, bound = plan.cells
    fail(session, plan, teacher, "diverged")
    report = submit()
    assert set(report.submitted) == {free}
    assert report.failed == {teacher: "diverged: so it was"}
    assert list(report.blocked) == [bound]
    assert set(submit(retry=True).submitted) == {teacher, bound}


def test_transient_failures_are_tried_again_unasked(
    submit: Submit, session: Session, plan: Plan
) -> None:
    fail(session, plan, list(plan.cells)[1], "disk_full")
    assert list(plan.cells)[1] in submit().submitted


def test_memory_kill_is_known_from_slurm_and_retried_with_half_the_micro_batch(
    submit: Submit, session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    free = list(plan.cells)[1]
    folder = session.store.folder(plan.cells[free].folder)
    submit()
    assert folder.claim() == 1
    folder.end_attempt(1, "killed")
    fake_slurm.set("2", state="OUT_OF_MEMORY", exit="0:9")
    report = submit()
    assert report.failed[free].startswith("out_of_memory: ")
    failure = folder.failure()
    assert failure is not None
    assert failure.type == "out_of_memory"
    assert set(submit(retry=True).submitted) == {free}
    kept = read_json(folder.path / "execution.json")
    assert kept["execution"]["micro_batch"] == plan.cells[free].recipe.train.batch // 2
    assert [(n["from"], n["to"]) for n in kept["micro_batch_halved"]] == [(8, 4)]


def test_submit_limit_holds_back_and_the_next_run_goes_on(
    submit: Submit, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    report = submit(max_submit=2)
    assert (len(report.submitted), report.held_back) == (2, 1)
    fake_slurm.set("2", state="COMPLETED")
    fake_slurm.site(max_submit=2)
    free, bound = list(plan.cells)[1:]
    assert set(submit().submitted) & {free, bound}


def test_a_refused_batch_is_told_and_costs_no_other(
    submit: Submit, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    fake_slurm.site(accepts=1)
    report = submit()
    assert report.submitted == {next(iter(plan.cells)): "1"}
    assert len(report.refused) == 2
    assert "QOSMaxSubmitJobPerUserLimit" in report.refused[0]
    fake_slurm.site(accepts=10)
    assert len(submit().submitted) == 2


def test_a_refused_teacher_keeps_its_students_out(
    submit: Submit, session: Session, fake_slurm: FakeSlurm
) -> None:
    fake_slurm.site(accepts=0)
    report = submit()
    assert report.submitted == {}
    assert report.held_back == 3
    assert fake_slurm.state.calls.count("sbatch") == 2  # teacher and free student, never the bound
    assert JobsFile(session.store.root).read() == []


def test_nothing_is_submitted_when_the_queue_is_unknown(
    submit: Submit, fake_slurm: FakeSlurm
) -> None:
    submit()
    fake_slurm.set("2", state="CANCELLED", gone=True)
    fake_slurm.site(down=["squeue"])
    with pytest.raises(SlurmError, match="nothing was submitted: squeue"):
        submit()
    assert fake_slurm.state.calls.count("sbatch") == 3


def test_done_cells_are_left_alone_and_force_runs_them_again(
    submit: Submit, session: Session, plan: Plan, finish: Callable[..., None]
) -> None:
    for cell in plan.cells.values():
        finish(session.store.folder(cell.folder))
    assert submit().submitted == {}
    assert set(submit(force=True).submitted) == set(plan.cells)


def test_one_look_asks_squeue_and_sacct_once(
    submit: Submit, session: Session, plan: Plan, fake_slurm: FakeSlurm
) -> None:
    submit()
    before = list(fake_slurm.state.calls)
    seen = observe(session.store, plan.cells)
    asked = fake_slurm.state.calls[len(before) :]
    assert sorted(asked) == ["sacct", "squeue"]
    assert {state.word for state in seen.states.values()} == {"pending"}
    assert [state.why for state in seen.states.values()][2] == "job 3: Dependency"


def test_torn_lines_of_the_jobs_file_are_passed_over(session: Session) -> None:
    jobs = JobsFile(session.store.root)
    jobs.folder.mkdir(parents=True)
    one, two = (Submitted(name, ("c",), "slurm/x", 0, "now") for name in ("7", "8"))
    jobs.append([one])
    with jobs.path.open("a") as file:
        file.write(json.dumps({"job": "9"})[:-4])
    jobs.append([two])
    assert jobs.read() == [one, two]
