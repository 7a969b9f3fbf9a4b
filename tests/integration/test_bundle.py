"""A bundle holds all that a suite reads: unpacked elsewhere it plans the same cells offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path


def smc(*words: object, **environment: str) -> str:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    merged = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=merged)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_unpacked_bundle_gives_the_same_cells_without_the_sources(
    suite_file: Path, mirror: Path, tiny_model: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "out" / "tiny.tar"
    results = tmp_path / "results"
    smc("fetch", suite_file, "--results", results, "--data-root", mirror, "--bundle", bundle)
    before = json.loads(smc("plan", suite_file, "--data-root", mirror, "--json"))["data"]
    site = tmp_path / "site"
    with tarfile.open(bundle) as tar:
        tar.extractall(site, filter="data")
    shutil.rmtree(mirror)
    offline = {"HF_HUB_OFFLINE": "1", "SMC_BENCH_OFFLINE": "1"}
    places = {"SMC_BENCH_CACHE": str(site / "cache"), "SMC_BENCH_DATA_ROOT": str(site / "data")}
    words = ("--set", f"model={site / 'models' / tiny_model.name}")
    after = json.loads(smc("plan", suite_file, *words, "--json", **offline, **places))["data"]
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert f"--set model=$PWD/models/{tiny_model.name}" in (site / "README.txt").read_text()
    assert json.loads((site / "lock.json").read_text()) == {}


def test_bundle_names_what_is_missing(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    (mirror / "glue" / "sst2" / "train.jsonl").unlink()
    words = ["fetch", str(suite_file), "--results", str(tmp_path / "r"), "--data-root", str(mirror)]
    command = [sys.executable, "-m", "smc_bench", *words, "--bundle", str(tmp_path / "b.tar")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "\nerror: " in done.stderr
    assert "train" in done.stderr
    assert not (tmp_path / "b.tar").exists()


def test_bundle_that_can_not_be_written(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").touch()
    words = ["fetch", str(suite_file), "--results", str(tmp_path / "r"), "--data-root", str(mirror)]
    command = [sys.executable, "-m", "smc_bench", *words]
    command += ["--bundle", str(tmp_path / "closed" / "b.tar")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "can't be written" in done.stderr
