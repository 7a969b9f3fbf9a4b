from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.dispatch import doctor
from smc_bench.dispatch.doctor import check_files, check_node, check_slurm
from smc_bench.errors import SlurmError
from smc_bench.store import exclusive
from tests.helpers.fake_slurm import FakeSlurm


def verdicts(folder: Path) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in check_files(folder)}


def test_a_sound_folder_is_ok_and_left_as_it_was(tmp_path: Path) -> None:
    found = verdicts(tmp_path)
    assert set(found.values()) == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_links_or_locks_or_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(exclusive, "_renameat2", lambda: None)
    monkeypatch.setattr(exclusive.os, "open", refuse)
    monkeypatch.setattr(doctor.fcntl, "flock", refuse)
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)
    found = verdicts(tmp_path)
    assert found["exclusive create"] == "bad"
    assert found["locks"] == "note"
    assert found["clock"] == "bad"
    assert found["atomic rename"] == "ok"


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = check_files(tmp_path / "file" / "results")
    assert finding.verdict == "bad"


def test_slurm_that_answers(fake_slurm: FakeSlurm) -> None:
    fake_slurm.site(max_submit=50, MaxArraySize=7)
    found = {finding.check: finding for finding in check_slurm("test")}
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert found["limits"].text == "arrays up to 7, jobs in the queue: 50"


def test_slurm_without_accounting_or_partition(fake_slurm: FakeSlurm) -> None:
    fake_slurm.site(down=["sacct"])
    found = {finding.check: finding.verdict for finding in check_slurm("nowhere")}
    assert (found["sacct"], found["partition"], found["squeue"]) == ("bad", "bad", "ok")


def test_no_slurm_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = check_slurm(None)
    assert finding.verdict == "bad"
    assert "sbatch" in finding.text


def test_a_laptop_is_no_broken_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = tmp_path / "bin"
    one.mkdir()
    monkeypatch.setenv("PATH", str(one))
    (finding,) = check_slurm(None, needed=False)
    assert finding.verdict == "note"
    words = ["doctor", "--results", str(tmp_path / "results")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    for asked in (["--slurm"], ["--partition", "gpu"]):
        result = CliRunner().invoke(cli, [*words, *asked])
        assert (result.exit_code, "bad   slurm: not found" in result.output) == (1, True)
    # Some of its commands: a cluster, and a broken one.
    (one / "squeue").write_text("#!/bin/sh\n")
    (one / "squeue").chmod(0o755)
    assert [found.verdict for found in check_slurm(None, needed=False)] == ["bad"]


def test_a_node_that_never_answers_is_bad_and_its_job_is_cancelled(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []
    monkeypatch.setattr(doctor.slurm_queue, "ask", lambda *words: "12\n")
    monkeypatch.setattr(doctor.slurm_queue, "cancel", cancelled.extend)
    finding = check_node(tmp_path, None, 0.0)
    assert finding.verdict == "bad"
    assert cancelled == ["12"]


def test_slurm_without_a_cluster_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*words: str) -> str:
        raise SlurmError("squeue: fatal: Could not establish a configuration source")

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.slurm_queue, "ask", ask)
    (finding,) = check_slurm(None, needed=False)
    assert (finding.verdict, "no cluster is set up" in finding.text) == ("note", True)
    found = {finding.check: finding.verdict for finding in check_slurm(None, needed=True)}
    assert found["squeue"] == "bad"
