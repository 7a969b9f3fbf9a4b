"""``run --slurm`` from submission to records, on a stand-in for SLURM that really runs the jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.dispatch.slurm import backend
from tests.helpers.fake_slurm import FakeSlurm


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "fake-slurm")
    monkeypatch.setenv("FAKE_SLURM", str(fake.root))
    monkeypatch.setenv("PATH", f"{fake.root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return fake


def smc(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_submit_run_status_and_run_again(
    suite_file: Path, mirror: Path, tmp_path: Path, fake_slurm: FakeSlurm
) -> None:
    where = (suite_file, "--results", tmp_path / "results", "--data-root", mirror)
    said = smc("run", *where, "--slurm", "--pack-steps", 100).stderr
    assert "3 submitted now as 3 jobs in 3 submissions" in said
    waiting = smc("status", *where).stdout
    assert waiting.count("  pending ") == 3
    assert "job 3: Dependency" in waiting
    fake_slurm.run_all()
    states = {name: job["state"] for name, job in fake_slurm.state.jobs.items()}
    assert states == {"1": "COMPLETED", "2": "COMPLETED", "3": "COMPLETED"}
    rows = json.loads(smc("status", *where, "--json").stdout)["data"]
    assert {row["state"] for row in rows} == {"done"}
    assert "3 of 3 cells done" in smc("run", *where, "--slurm").stderr
    for path in (tmp_path / "results").glob("cells/*/*/record.json"):
        lease = json.loads((path.parent / "attempts" / "001.json").read_text())
        assert lease["slurm_job"] in states
        assert lease["host"] == "node1"
    key = path.parent.name.rsplit("-", 1)[1]
    assert "SLURM jobs: " in smc("logs", key, "--results", tmp_path / "results").stdout


def test_what_is_missing_is_said_before_anything_is_submitted(
    suite_file: Path, mirror: Path, tmp_path: Path, fake_slurm: FakeSlurm
) -> None:
    (mirror / "glue" / "sst2" / "validation.jsonl").unlink()
    done = smc(
        "run", suite_file, "--results", tmp_path / "r", "--data-root", mirror, "--slurm", code=1
    )
    assert "validation" in done.stderr
    assert fake_slurm.state.calls == []


def test_slurm_options_without_slurm_are_refused(suite_file: Path) -> None:
    done = smc("run", suite_file, "--mem", "1GB", code=2)
    assert "--mem needs --slurm" in done.stderr


def test_cancel(suite_file: Path, mirror: Path, tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    where = (suite_file, "--results", tmp_path / "results", "--data-root", mirror)
    smc("run", *where, "--slurm")
    assert "cancelled 3 jobs" in smc("cancel", *where).stderr
    assert "no cell is in the queue" in smc("cancel", *where).stderr
    assert "3 submitted now" in smc("run", *where, "--slurm").stderr


def test_wait_ends_when_slurm_refuses_everything(
    suite_file: Path, mirror: Path, tmp_path: Path, fake_slurm: FakeSlurm
) -> None:
    fake_slurm.site(accepts=0)
    where = (suite_file, "--results", tmp_path / "results", "--data-root", mirror)
    done = smc("run", *where, "--slurm", "--wait", code=1)
    assert "refused by SLURM: sbatch refused 1 jobs: QOSMaxSubmitJobPerUserLimit" in done.stderr
    assert "0 of 3 cells done" in done.stderr


def test_who_stops_following_leaves_the_jobs_in_the_queue(
    suite_file: Path,
    mirror: Path,
    tmp_path: Path,
    fake_slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ctrl_c(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backend, "time", SimpleNamespace(sleep=ctrl_c))
    where = [str(suite_file), "--results", str(tmp_path / "results"), "--data-root", str(mirror)]
    done = CliRunner().invoke(cli, ["run", *where, "--slurm", "--wait", "--no-report"])
    assert done.exit_code == 130
    assert "[0/3 cells, 3 pending, time left unknown]" in done.output
    assert "the jobs go on" in done.output
    assert {job["state"] for job in fake_slurm.state.jobs.values()} == {"PENDING"}
