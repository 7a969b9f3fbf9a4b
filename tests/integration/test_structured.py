"""Units removed by a run, a smaller model exported, and a sparsity that no unit can reach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from smc_bench.engine.pruning.latency import LatencyTable
from smc_bench.models.load import load_model


def smc(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def suite(tmp_path: Path, tiny_model: Path) -> Path:
    path = tmp_path / "units.yaml"
    path.write_text(f"""
name: units
title: Units
tasks: [{{name: sst2, max_length: 16}}]
model: {tiny_model}
sparsity: [0.5]
seeds: [1]
baseline: guidelines
arms:
  both: {{structure: heads+neurons}}
recipe: {{train: {{batch: 8}}, scope: encoder}}
recipes:
  dense: {{train: {{duration: 3ep}}, lr_schedule: {{peak: 1e-2}}}}
  guidelines: {{sparsity_schedule: {{start: 1ep, cycle: 1ep}}}}
""")
    return path


def test_a_pruned_cell_shrinks(suite: Path, mirror: Path, tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "out"
    smc("check", suite)
    smc("run", suite, "--results", results, "--data-root", mirror)
    (path,) = results.glob("cells/sst2/*-0.5-*/record.json")
    record = json.loads(path.read_text())
    units = record["sparsity"]["structure"]
    assert units == record["sparsity"]["encoder"]
    assert 0.4 < units["zeros"] / units["total"] <= 0.5
    (dense,) = results.glob("cells/sst2/*-dense-*/record.json")
    assert "structure" not in json.loads(dense.read_text())["sparsity"]
    smc("export", record["cell_id"], "--results", results, "--to", out, "--shrink")
    small = load_model(out, "sequence_classification", 2, seed=0, finished=True).eval()
    whole = load_model(path.parent / "weights", "sequence_classification", 2, seed=0, finished=True)
    fewer = sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in small.parameters())
    assert fewer >= units["zeros"]
    ids = torch.tensor([[2, 5, 6, 7, 3]])
    with torch.no_grad():
        assert float((small(ids).logits - whole.eval()(ids).logits).abs().max()) <= 1e-6


@pytest.mark.parametrize("verb", ["check", "run"])
def test_what_units_can_not_reach_is_refused_at_once(
    verb: str, suite: Path, mirror: Path, tmp_path: Path
) -> None:
    suite.write_text(
        suite.read_text()
        .replace("heads+neurons", "heads")
        .replace("sparsity: [0.5]", "sparsity: [0.2, 0.9]")
    )
    where = () if verb == "check" else ("--results", tmp_path / "r", "--data-root", mirror)
    done = smc(verb, suite, *where, code=1)
    assert "units.yaml" in done.stderr
    assert "at most 0." in done.stderr
    assert "sparsity_over: structure" in done.stderr
    assert not list(tmp_path.glob("r/cells/*/*/record.json"))


TABLE = LatencyTable(
    processor="another machine", threads=1, engine="torch", version="2", torch="2", batch=1,
    length=16, layers=2, rest_ms=1.0, heads=((0, 0.0), (1, 1.0), (2, 2.0)),
    neurons=((0, 0.0), (32, 2.5)), whole_ms=10.0, load=0.1,
)  # fmt: skip


def for_speed(suite: Path, target: str) -> None:
    arm = f"heads+neurons, target: {{engine: torch, length: 16, {target}}}"
    suite.write_text(suite.read_text().replace("heads+neurons", arm))


def test_a_speed_is_reached_by_a_table_that_is_named(
    suite: Path, mirror: Path, tmp_path: Path
) -> None:
    content = {"sha256": TABLE.sha256, "table": TABLE.model_dump(mode="json")}
    (tmp_path / "elsewhere.json").write_text(json.dumps(content))
    for_speed(suite, "speedup: 2.5, table: elsewhere.json")
    results = tmp_path / "results"
    smc("check", suite, "--results", results)
    smc("run", suite, "--results", results, "--data-root", mirror)
    (path,) = results.glob("cells/sst2/*-0.6-*/record.json")
    record = json.loads(path.read_text())
    # Ten milliseconds when dense, so four at most; a head takes one, a neuron 2.5 / 32.
    assert 2.5 <= record["predicted"]["speedup"] < 10 / (4 - 1)
    assert record["predicted"]["table_sha256"] == TABLE.sha256
    assert record["cell"]["recipe"]["target"]["table"]["processor"] == "another machine"
    assert not (results / "latencies").exists()
    said = smc("measure", record["cell_id"], "--results", results, "--batch", 1, "--length", 16,
               "--threads", 1, "--rounds", 1)  # fmt: skip
    assert "predicted, x2.5 asked for (table of another machine)" in said.stderr
    shown = smc("table", suite, "--results", results, "--data-root", mirror)
    assert "both" in shown.stdout
    again = smc("run", suite, "--results", results, "--data-root", mirror, "--dry-run")
    assert "0 of 2 cells would run" in again.stdout
    assert smc("merge", results, "--results", tmp_path / "there").stdout.startswith("2 added")


def test_a_speed_out_of_reach_is_refused_before_training(
    suite: Path, mirror: Path, tmp_path: Path
) -> None:
    """By ``run``, which measures the table; then by ``check``, which finds it."""
    for_speed(suite, "speedup: 900")
    where = ("--results", tmp_path / "results")
    smc("check", suite, *where)
    for words in (("run", suite, *where, "--data-root", mirror), ("check", suite, *where)):
        done = smc(*words, code=1)
        assert "arm 'both': structure: heads+neurons can become at most" in done.stderr
        assert "units.yaml" in done.stderr
    assert len(list(tmp_path.glob("results/latencies/*.json"))) == 1
    assert not list(tmp_path.glob("results/cells/*/*/record.json"))


def test_a_student_with_fewer_layers(suite: Path, mirror: Path, tmp_path: Path) -> None:
    """Pruned from a first step of 30 %; its teacher and what it is measured beside are whole."""
    fewer = "{train: {keep_layers: [1]}, sparsity_schedule: {initial: 0.3}}"
    suite.write_text(suite.read_text().replace("{structure: heads+neurons}", fewer))
    results = tmp_path / "results"
    smc("run", suite, "--results", results, "--data-root", mirror)
    (path,) = results.glob("cells/sst2/*-0.5-*/record.json")
    record = json.loads(path.read_text())
    assert record["events"][0]["target"] == pytest.approx(0.3)
    assert record["cell"]["recipe"]["train"]["keep_layers"] == [1]
    config = json.loads((path.parent / "weights" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["kept_layers"]) == (1, {"of": 2, "kept": [1]})
    (dense,) = results.glob("cells/sst2/*-dense-*/record.json")
    whole = json.loads(dense.read_text())["sparsity"]["encoder"]["total"]
    assert record["sparsity"]["encoder"]["total"] == whole // 2
    smc("measure", record["cell_id"], "--results", results, "--batch", 1, "--length", 16,
        "--rounds", 1)  # fmt: skip
    measured = json.loads((path.parent / "measured.json").read_text())
    kept, all_of_it = measured["size"]["encoder_macs"], measured["dense"]["encoder_macs"]
    assert 2 * kept == all_of_it
    assert smc("merge", results, "--results", tmp_path / "there").stdout.startswith("2 added")


def test_layers_that_are_not_there_are_refused_at_check(suite: Path) -> None:
    fewer = "{train: {keep_layers: [0, 2]}}"
    suite.write_text(suite.read_text().replace("{structure: heads+neurons}", fewer))
    done = smc("check", suite, code=1)
    assert "arm 'both': train.keep_layers: [0, 2]: the model has 2 blocks" in done.stderr
