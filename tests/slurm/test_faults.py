"""Faults on a real SLURM: the others finish, one more run completes the rest, bits are equal.

Workers are stopped (SIGSTOP) right after a checkpoint, so that a fault always falls into the middle
of training, however fast the machine is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from smc_bench.store.store import CellFolder
from tests.slurm.conftest import Bench, Cluster, check_record, uninterrupted, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3000)]

PLAIN = ("--only", "arm=plain")


def check_equal(bench: Bench, tmp_path: Path, *only: str) -> None:
    expected = uninterrupted(bench, tmp_path, "arm=plain", *only)
    found = {cell.path.name: check_record(cell)["weights_sha256"] for cell in bench.cells("*0.5*")}
    assert found == expected


def signals(bench: Bench, cell: CellFolder) -> int:
    """How often a cell's job was told to stop."""
    logs = bench.results.glob(f"slurm/*/{bench.job_of(cell)}_0_log.*")
    return sum(log.read_text().count("Caught signal") for log in logs)


def fill(path: Path) -> None:
    """Write until not one block is left."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_kill_requeue_preemption_and_cancel_at_once(
    long_cells: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    bench = long_cells
    bench.settings[0] = "seeds=[1,2,3,4,5]"
    # Two nodes of two cores: four run, one waits until one of them has gone.
    bench.smc("run", "--slurm", *PLAIN)
    killed, requeued, preempted, healthy, cancelled = (
        bench.cell(f"*-s{seed}-*") for seed in range(1, 6)
    )
    pids = {cell: bench.freeze(cell) for cell in (killed, requeued, preempted, healthy)}
    assert cluster.state(bench.job_of(cancelled)) == "PENDING"
    cluster.ask("scancel", bench.job_of(cancelled))
    os.kill(pids[healthy], signal.SIGCONT)
    os.kill(pids[killed], signal.SIGKILL)
    cluster.ask("scontrol", "requeue", bench.job_of(requeued))
    cluster.ask("scancel", "--signal", "USR2", bench.job_of(preempted))
    os.kill(pids[preempted], signal.SIGCONT)
    bench.wait_done(requeued, preempted, healthy)
    bench.wait_idle(cluster)
    words = bench.states()
    assert words[killed.path.name.rsplit("-", 1)[1]] == "failed"
    failure = killed.failure()
    assert failure is not None
    assert failure.type == "killed"
    assert words[cancelled.path.name.rsplit("-", 1)[1]] == "lost"
    assert sum(word == "done" for word in words.values()) == 3
    said = bench.smc("run", "--slurm", *PLAIN)
    assert "2 submitted now" in said
    left = {cell.path.name.rsplit("-", 1)[1] for cell in (killed, cancelled)}
    assert {cell for job in bench.jobs()[-2:] for cell in job["cells"]} == left
    bench.wait_done(killed, cancelled)
    attempts = {cell: check_record(cell)["attempt"] for cell in bench.cells("*0.5*")}
    assert attempts[killed] == attempts[requeued] == attempts[preempted] == 2
    assert attempts[cancelled] == attempts[healthy] == 1
    assert "0 submitted now" in bench.smc("run", "--slurm", *PLAIN)
    check_equal(bench, tmp_path)


@pytest.mark.slurm_long
def test_a_time_limit_is_met_and_the_cell_goes_on(
    long_cells: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    bench = long_cells
    bench.settings[0] = "seeds=[1]"
    bench.smc("run", "--slurm", *PLAIN, "--time", "3min", "--signal-before", "40s")
    cell = bench.cell("*-s1-*")
    pid = bench.freeze(cell)
    before = signals(bench, cell)
    # The limit's signal comes when SLURM sends it; only then may the cell go on.
    wait_for("the limit's signal", lambda: signals(bench, cell) > before)
    os.kill(pid, signal.SIGCONT)
    bench.wait_done(cell)
    bench.wait_idle(cluster)
    assert check_record(cell)["attempt"] >= 2
    first = json.loads(cell.attempt_file(1).read_text())
    assert first["how"] == "interrupted"
    assert "0 submitted now" in bench.smc("run", "--slurm", *PLAIN)
    check_equal(bench, tmp_path, "seed=1")


def test_a_killed_node_and_the_cell_runs_on_the_other(
    long_cells: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    bench = long_cells
    bench.smc("run", "--slurm", *PLAIN, "--only", "seed=1")
    cell = bench.cell("*-s1-*")
    bench.freeze(cell)
    node = json.loads(cell.attempt_file(1).read_text())["host"]
    cluster.kill_node(node)
    try:
        bench.wait_done(cell)
    finally:
        cluster.start_node(node)
    assert check_record(cell)["attempt"] == 2
    assert json.loads(cell.attempt_file(2).read_text())["host"] != node
    check_equal(bench, tmp_path, "seed=1")


@pytest.mark.slurm_long
def test_a_slurmd_dies_while_its_job_lives(
    long_cells: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    bench = long_cells
    bench.smc("run", "--slurm", *PLAIN, "--only", "seed=1")
    cell = bench.cell("*-s1-*")
    old = bench.freeze(cell)
    node = json.loads(cell.attempt_file(1).read_text())["host"]
    cluster.kill_daemon(node)
    try:
        # SLURM starts the cell again elsewhere; the old attempt still lives, and wakes up.
        new = bench.freeze(cell, 2)
        os.kill(old, signal.SIGCONT)
        wait_for("the end of the older attempt", lambda: not psutil.pid_exists(old))
        assert cell.state() == "running"
        os.kill(new, signal.SIGCONT)
        bench.wait_done(cell)
    finally:
        cluster.start_node(node)
    assert check_record(cell)["attempt"] == 2
    check_equal(bench, tmp_path, "seed=1")


@pytest.mark.slurm_long
def test_over_memory_is_typed_and_retried_with_half_the_micro_batch(
    bench: Bench, cluster: Cluster
) -> None:
    text = bench.suite.read_text()
    little = "slurm: {overrides: [{where: [sparsity=0.5, arm=plain], mem: 100MB}], "
    bench.suite.write_text(text.replace("slurm: {", little))
    only = (*PLAIN, "--only", "seed=1", "--only", "sparsity=0.5", "--only", "sparsity=0.6")
    bench.smc("run", "--slurm", *only)
    cell, other = bench.cell("*0.5-s1-*"), bench.cell("*0.6-s1-*")
    bench.wait_idle(cluster)
    assert check_record(other)["attempt"] == 1
    assert "out_of_memory: SLURM killed job" in bench.smc("status")
    said = bench.smc("run", "--slurm", *only, ok=False)
    assert "0 submitted now" in said
    assert "--retry" in said
    assert "1 submitted now" in bench.smc("run", "--slurm", *only, "--retry", "--mem", "1GB")
    bench.wait_done(cell)
    halved = check_record(cell)["execution"]["micro_batch_halved"]
    assert [(note["from"], note["to"]) for note in halved] == [(8, 4)]


@pytest.mark.slurm_long
def test_a_teacher_that_is_killed_or_fails(bench: Bench, cluster: Cluster, tmp_path: Path) -> None:
    text = bench.suite.read_text()
    short, longer = "dense: {train: {duration: 3ep}", "dense: {train: {duration: 800it}"
    bench.suite.write_text(text.replace(short, longer))
    only = ("--only", "arm=guided", "--only", "seed=1", "--only", "sparsity=0.7")
    bench.smc("run", "--slurm", *only)
    teacher, student = bench.cell("*dense*"), bench.cell("*-enc-*")
    os.kill(bench.freeze(teacher), signal.SIGKILL)
    bench.wait_idle(cluster)  # SLURM drops the student: its dependency can't be met
    assert student.latest_attempt() is None
    assert "2 submitted now" in bench.smc("run", "--slurm", *only)
    bench.wait_done(teacher, student)
    assert [check_record(cell)["attempt"] for cell in (teacher, student)] == [2, 1]
    expected = uninterrupted(bench, tmp_path, "arm=guided", "seed=1", "sparsity=0.7")
    assert len(expected) == 2
    assert expected == {c.path.name: check_record(c)["weights_sha256"] for c in bench.cells()}

    bench.suite.write_text(text.replace("peak: 1e-2", "peak: 1.0e+30"))
    bench.results = bench.results.with_name("failing")
    bench.smc("run", "--slurm", *only)
    bench.wait_idle(cluster)
    teacher, student = bench.cell("*dense*"), bench.cell("*-enc-*")
    assert (teacher.state(), student.state()) == ("failed", "missing")
    said = bench.smc("run", "--slurm", *only, ok=False)
    assert "0 submitted now" in said
    assert f"its teacher {teacher.path.name.rsplit('-', 1)[1]} failed" in said


@pytest.mark.slurm_long
def test_a_full_results_disk(long_cells: Bench, cluster: Cluster, tmp_path: Path) -> None:
    bench = long_cells
    two = (*PLAIN, "--only", "seed=1", "--only", "seed=2")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    bench.results = disk / "results"
    try:
        bench.smc("run", "--slurm", *two)
        cells = [bench.cell(f"*-s{seed}-*") for seed in (1, 2)]
        pids = [bench.freeze(cell) for cell in cells]
        filler = disk / "filler"
        fill(filler)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        bench.wait_idle(cluster)
        assert not any(cell.state() == "done" for cell in cells)
        for cell in cells:  # what is there is whole
            failure = cell.failure()
            assert failure is None or failure.type == "disk_full"
        filler.unlink()
        assert "2 submitted now" in bench.smc("run", "--slurm", *two)
        bench.wait_done(*cells)
        check_equal(bench, tmp_path, "seed=1", "seed=2")
        bench.wait_idle(cluster)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
