"""From a run to a folder that transformers loads, with nothing left to clean beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification


def smc(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_what_a_run_leaves_can_be_exported(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "out"
    where = ("--results", results)
    smc("run", suite_file, *where, "--data-root", mirror, "--no-report", "--only", "arm=plain")
    (path,) = results.glob("cells/sst2/*-0.5-*/record.json")
    record = json.loads(path.read_text())
    done = smc("export", record["cell_id"], *where, "--to", out)
    assert done.stdout.strip() == str(out)
    trained = AutoModelForSequenceClassification.from_pretrained(path.parent / "weights").eval()
    exported = AutoModelForSequenceClassification.from_pretrained(out).eval()
    ids = torch.tensor([[2, 5, 6, 7, 3]])
    with torch.no_grad():
        assert torch.equal(trained(ids).logits, exported(ids).logits)
    (result,) = ModelCard.load(out / "README.md").data.eval_results
    assert result.metric_value == round(record["metrics"]["accuracy"], 4)
    assert str(tmp_path) not in "".join(p.read_text() for p in out.iterdir() if p.suffix == ".md")
    assert "nothing to clean" in smc("clean", *where).stderr
