"""A whole suite on a real SLURM."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.slurm.conftest import PATIENCE, PROJECT, Bench, Cluster, check_record

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3000)]

BROKEN = "arms:\n  broken: {recipe: smc, lr_schedule: {peak: 1.0e+30}}\n"


def test_two_runners_at_once_and_a_cell_that_raises(bench: Bench, cluster: Cluster) -> None:
    bench.suite.write_text(bench.suite.read_text().replace("arms:\n", BROKEN))
    only = ["--only", "arm=plain", "--only", "arm=guided"]
    broken = ["--only", "arm=broken", "--only", "seed=1", "--only", "sparsity=0.5"]
    one, two = (
        subprocess.Popen(bench.words("run", "--slurm", *only), cwd=PROJECT, stderr=subprocess.PIPE)
        for _ in range(2)
    )
    said = [process.communicate(timeout=PATIENCE)[1].decode() for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), said
    jobs = bench.jobs()
    given = [cell for job in jobs for cell in job["cells"]]
    assert len(given) == len(set(given)) == 13  # each in one job, whoever submitted it
    assert sorted("13 submitted now" in text for text in said) == [False, True]
    arrays = {job["job"].partition("_")[0] for job in jobs}
    assert len(arrays) == 3  # the teacher, the students it holds, and the rest
    bench.smc("run", "--slurm", *broken)
    bench.wait_idle(cluster)
    states = list(bench.states().values())
    assert (states.count("done"), states.count("failed")) == (13, 1)
    for cell in bench.cells():
        if cell.state() == "done":
            assert check_record(cell)["attempt"] == 1
        else:
            failure = cell.failure()
            assert failure is not None
            assert failure.type == "diverged"
    assert "0 submitted now" in bench.smc("run", "--slurm", *only)
    assert "0 submitted now" in bench.smc("run", "--slurm", *broken, ok=False)
    report = bench.smc("status")
    assert re.search(r"failed .*tiny-bert0-magnitude-emb\+enc\+hea-0\.5-s1: diverged: ", report)
    assert float(re.findall(r"job-hours (\d+\.\d+)", report)[0]) > 0.0
    assert len(bench.jobs()) == 14


def test_short_cells_share_jobs_and_wait_follows_them(bench: Bench, cluster: Cluster) -> None:
    only = ["--only", "arm=plain", "--only", "seed=1"]
    said = bench.smc("run", "--slurm", "--pack-steps", 100_000, "--wait", *only)
    assert "3 submitted now as 1 jobs" in said
    assert "3 of 3 cells done" in said
    assert len(bench.jobs()) == 1
    assert [check_record(cell)["attempt"] for cell in bench.cells()] == [1, 1, 1]


def test_cancel_takes_cells_out_of_the_queue(bench: Bench, cluster: Cluster) -> None:
    bench.smc("run", "--slurm", "--only", "arm=guided", "--only", "seed=1")
    assert "cancelled 4 jobs" in bench.smc("cancel")
    bench.wait_idle(cluster)
    assert not {"pending", "running", "failed"} & set(bench.states().values())


def test_doctor_finds_this_cluster_sound(bench: Bench, cluster: Cluster) -> None:
    words = ["--results", bench.results, "--data-root", bench.mirror, "--partition", "test"]
    done = subprocess.run(
        [*bench.words("doctor")[:4], str(bench.suite), *map(str, words), "--job"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    compute node: job" in done.stdout
    assert "ok    offline data" in done.stdout
