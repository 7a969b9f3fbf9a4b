"""Results that are found again: without the suite's flags, from any folder, in several folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from smc_bench.store.runs import runs


def smc(*words: object, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "smc_bench", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


def states(*words: object, cwd: Path | None = None) -> set[str]:
    found = json.loads(smc("status", "--json", *words, cwd=cwd).stdout)
    assert (found["format"], found["verb"]) == (1, "status")
    return {row["state"] for row in found["data"]}


@pytest.fixture
def ran(suite_file: Path, mirror: Path, tmp_path: Path) -> Path:
    """Results of a run with flags that are not the suite's own."""
    results = tmp_path / "results"
    flags = ("--data-root", mirror, "--set", "sparsity=[0.6]")
    smc("run", suite_file, *flags, "--results", results, "--no-report")
    return results


@pytest.mark.slow
def test_results_know_their_suite(ran: Path, suite_file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = ("--results", ran)
    assert states(*where, cwd=elsewhere) == {"done"}
    for word in ("tiny", "tiny.laptop", runs(ran)[0].id, suite_file):
        assert states(word, *where, cwd=elsewhere) == {"done"}
    # Also where the file, the data and the model are gone.
    suite_file.unlink()
    (tmp_path / "mirror").rename(tmp_path / "moved")
    for verb in ("table", "verdict", "plot", "report", "logs"):
        done = smc(verb, *where, cwd=elsewhere)
        assert "tiny as run at" in done.stderr
        assert "--set sparsity=[0.6]" in done.stderr
    assert "| 0.6" in smc("table", "tiny", *where, cwd=elsewhere).stdout
    key = next(ran.glob("cells/*/*")).name.rpartition("-")[2]
    assert "reused: " in smc("why", key, *where, cwd=elsewhere).stdout
    assert "reused: " in smc("why", "tiny", key, *where, cwd=elsewhere).stdout
    # One variable for all verbs, and several folders.
    other = tmp_path / "other"
    other.mkdir()
    assert states(*where, "--results", other, cwd=elsewhere) == {"done"}
    assert states("--results", other, *where, cwd=elsewhere) == {"done"}
    missing = smc("status", *where, "--results", tmp_path / "none", cwd=elsewhere, code=1)
    assert "none: there is no such results folder" in missing.stderr


@pytest.mark.slow
def test_flags_that_differ_are_named(ran: Path, suite_file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "glue").mkdir(parents=True)
    (tmp_path / "mirror" / "glue" / "sst2").rename(data / "glue" / "sst2")
    with (data / "glue" / "sst2" / "train.jsonl").open("a") as file:
        file.write('{"sentence": "a film", "label": 1, "idx": 48}\n')
    where = ("--results", ran, "--data-root", data, "--set", "sparsity=[0.6]")
    found = smc("status", suite_file, *where)
    assert "0 of 3 found; 3 stored cells differ only in: data pins" in found.stdout
    table = smc("table", suite_file, *where, code=1)
    assert "0 of 3 found; 3 stored cells differ only in: data pins" in table.stderr


@pytest.mark.slow
def test_cells_that_were_cut_short_are_said(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    where = (suite_file, "--data-root", mirror, "--results", results)
    smc("run", *where, "--limit", 2, "--no-report")
    shown = smc("status", "--results", results).stdout
    assert "0 of 3 found; 3 stored cells differ only in: --limit 2" in shown
    assert "3 missing" in shown
    table = smc("table", "--results", results, code=1)
    assert "3 stored cells differ only in: --limit 2" in table.stderr
