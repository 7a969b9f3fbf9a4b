"""``doctor --gpu``: what a card does, in a process of its own, kept for plans."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from smc_bench.cli.card import measured_card
from smc_bench.cli.main import cli
from smc_bench.dispatch import gpu_check, gpus
from smc_bench.dispatch.gpus import Gpu
from smc_bench.errors import StoreError
from smc_bench.store import cards
from smc_bench.store.cards import installed_torch, path_of, stored

DEVICE: dict[str, Any] = {
    "stage": "device", "device": "cuda", "torch": "2.13.0+cu130", "cuda": "13.0",
    "name": "NVIDIA H100 80GB HBM3", "capability": "9.0", "memory": 80 * 2**30,
    "free": 79 * 2**30, "bf16": True, "precision": "bf16",
}  # fmt: skip
EQUAL: dict[str, Any] = {"stage": "determinism", "equal": True, "unlike": []}
RATE: dict[str, Any] = {
    "stage": "training", "model": "minilm-l6", "precision": "bf16", "batch": 32,
    "steps_per_second": 22.0, "tokens": 426.0, "squares": 9000.0, "memory": 2**30,
}  # fmt: skip


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "visible", lambda: (Gpu("0", DEVICE["name"]),))
    monkeypatch.setattr(gpus, "driver", lambda: "580.1")


def answers(monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]], ending: str = "") -> None:
    """A process that prints these lines, then ends as Python code says."""
    text = "\n".join(json.dumps(line) for line in lines)
    command = [sys.executable, "-c", f"print({text!r}, flush=True)\n{ending}"]
    run = subprocess.run
    monkeypatch.setattr(gpu_check.subprocess, "run", lambda words, **more: run(command, **more))


def test_a_card_is_told_and_kept(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, [DEVICE, EQUAL, RATE])
    findings = gpu_check.check_each(tmp_path)
    assert {finding.verdict for finding in findings} == {"ok"}
    text = "\n".join(finding.text for finding in findings)
    # 22 steps a second: 79,200 an hour, of which 1,320 are a cell.
    for told in ("H100", "driver 580.1", "capability 9.0", "79.0 of 80.0 GiB", "60 cells an hour"):
        assert told in text
    kept = stored(tmp_path, DEVICE["name"])
    assert kept is not None
    rate = kept.rate("minilm-l6", "bf16")
    assert rate is not None
    assert rate.steps_per_second == 22.0
    assert kept.rate("minilm-l6", "fp16") is None
    assert stored(tmp_path, "NVIDIA H100") is None


def test_a_crash_costs_a_line_and_not_what_came_before(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, [DEVICE, RATE], "import os; os.abort()")
    findings = gpu_check.check_each(tmp_path)
    (bad,) = [finding for finding in findings if finding.verdict == "bad"]
    assert f"signal {int(signal.SIGABRT)}" in bad.text
    assert stored(tmp_path, DEVICE["name"]) is not None


def test_a_lack_of_memory_is_a_note_and_other_bits_are_bad(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack = {"stage": "training", "model": "large", "error": "out of memory: CUDA out of memory"}
    answers(monkeypatch, [DEVICE, EQUAL | {"equal": False}, lack])
    verdicts = [finding.verdict for finding in gpu_check.check_each(tmp_path)]
    assert verdicts == ["ok", "ok", "bad", "note"]  # disk, device, bits, memory; nothing kept


def test_a_gpu_that_torch_does_not_see(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, [{**DEVICE, "device": "cpu", "precision": "fp32"}])
    assert [f.verdict for f in gpu_check.check_each(tmp_path)] == ["ok", "bad"]
    assert stored(tmp_path, DEVICE["name"]) is None


def test_without_a_gpu_only_who_asked_gets_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "visible", lambda: ())
    words = ["doctor", "--no-slurm", "--results", str(tmp_path)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    result = CliRunner().invoke(cli, [*words, "--gpu"])
    assert (result.exit_code, "bad   gpu: no GPU" in result.output) == (1, True)
    assert CliRunner().invoke(cli, [*words, "--device", "cpu"]).exit_code == 2


def test_a_dry_run_trains_on_the_cpu_and_keeps_nothing(tmp_path: Path) -> None:
    words = ["doctor", "--no-slurm", "--gpu", "--device", "cpu", "--tiny", "--json"]
    result = CliRunner().invoke(cli, [*words, "--results", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = [(f["check"], f["verdict"], f["text"]) for f in json.loads(result.stdout)["data"]]
    assert ("dry run", "note") in [each[:2] for each in found]
    ours = [text for check, verdict, text in found if (check, verdict) == ("cpu", "ok")]
    assert "equal bits" in ours[0]
    assert "steps/s" in ours[1]
    assert list(tmp_path.iterdir()) == []


def test_doctor_without_gpu_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from smc_bench.cli.main import cli\n"
        f"CliRunner().invoke(cli, ['doctor', '--no-slurm', '--results', {str(tmp_path)!r}])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_which_card_an_estimate_goes_by(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = DEVICE["name"]
    assert measured_card(tmp_path, None)[1] == (
        f"{name} was not measured yet: smc-bench doctor --gpu measures it, for a better estimate"
    )
    answers(monkeypatch, [DEVICE, RATE])
    gpu_check.check_each(tmp_path)
    found, why_none = measured_card(tmp_path, None)
    assert (found is not None, why_none) == (True, None)
    # Another torch is another measurement.
    monkeypatch.setattr("smc_bench.cli.card.installed_torch", lambda: "1.0")
    assert measured_card(tmp_path, None)[0] is None
    assert installed_torch() in str(measured_card(tmp_path, None)[1])
    # A login node has none; one is named.
    monkeypatch.setattr(gpus, "visible", lambda: ())
    assert measured_card(tmp_path, None)[0] is None
    assert name in str(measured_card(tmp_path, None)[1])
    assert measured_card(tmp_path, name)[0] == found
    with pytest.raises(StoreError, match="was not measured"):
        measured_card(tmp_path, "NVIDIA A")


@pytest.mark.parametrize("text", ["[]", "{", "null", '{"name": "NVIDIA A"}'])
def test_a_damaged_measurement_is_named(tmp_path: Path, text: str) -> None:
    path = path_of(tmp_path, "NVIDIA A")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StoreError, match=r"gpu/NVIDIA-A-.*\.json"):
        stored(tmp_path, "NVIDIA A")
    assert cards.names(tmp_path) == []
