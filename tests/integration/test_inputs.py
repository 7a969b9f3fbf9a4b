"""Inputs that can't be used are told by fetch and run, before any cell exists."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file


@pytest.fixture
def smc(suite_file: Path, tiny_model: Path, mirror: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run a verb on a suite whose model is ``./model`` beside it, from another folder."""
    shutil.copytree(tiny_model, tmp_path / "model")
    suite_file.write_text(suite_file.read_text().replace(str(tiny_model), "./model"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(verb: str, *words: object) -> subprocess.CompletedProcess[str]:
        where = ("--results", tmp_path / "results", "--data-root", mirror)
        where += ("--cache", tmp_path / "cache")
        command = [sys.executable, "-m", "smc_bench", verb, suite_file, *where, *words]
        done = subprocess.run(
            list(map(str, command)), cwd=elsewhere, capture_output=True, text=True, timeout=280
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def refused(smc: Callable[..., Any], tmp_path: Path) -> str:
    """What fetch and run say alike, in one line, with no cell made."""
    said = []
    for words in (("fetch",), ("run", "--only", "arm=dense", "--no-report")):
        done = smc(*words)
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        said.append(errors[0])
    assert said[0] == said[1]
    assert not list(tmp_path.glob("results/cells/*/*/attempts"))
    return said[0]


def test_a_model_under_another_prefix(smc: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "model" / "model.safetensors"
    weights = {f"module.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    assert "begin with 'module.'" in refused(smc, tmp_path)


def test_a_split_without_labels(smc: Callable[..., Any], mirror: Path, tmp_path: Path) -> None:
    path = mirror / "glue" / "sst2" / "validation.jsonl"
    rows = [json.loads(line) | {"label": -1} for line in path.read_text().splitlines()]
    path.write_text("\n".join(map(json.dumps, rows)))
    said = refused(smc, tmp_path)
    for word in (str(path), "validation", "row 0", "'label'", "without labels", "eval_splits"):
        assert word in said


def test_a_text_that_is_none(smc: Callable[..., Any], mirror: Path, tmp_path: Path) -> None:
    with (mirror / "glue" / "sst2" / "train.jsonl").open("a") as file:
        file.write(json.dumps({"sentence": "the film \ud83d was good", "label": 1, "idx": 99}))
    said = refused(smc, tmp_path)
    assert "train.jsonl: train: sst2: row 48, 'sentence'" in said


def test_a_model_in_a_folder_beside_the_suite(smc: Callable[..., Any], tmp_path: Path) -> None:
    done = smc("run", "--only", "arm=dense", "--no-report")
    assert "1 of 1 cells done" in done.stderr, done.stderr
    (record,) = tmp_path.glob("results/cells/*/*/record.json")
    assert json.loads(record.read_text())["cell"]["model"] == "./model"
    for name in ("record.json", "cell.json"):
        assert str(tmp_path) not in record.with_name(name).read_text()
    config = json.loads((record.parent / "weights" / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    rows = json.loads(smc("status", "--json").stdout)["data"]
    states = {row["id"]: row["state"] for row in rows}
    assert sorted(states.values()) == ["done", "missing", "missing"]
    # A file that the tokenizer would read makes another model.
    (tmp_path / "model" / "added_tokens.json").write_text("{}")
    rows = json.loads(smc("status", "--json").stdout)["data"]
    assert {row["state"] for row in rows} == {"missing"}


def test_a_model_that_is_not_there(smc: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "model").rename(tmp_path / "modle")
    for verb in ("check", "status", "run"):
        done = smc(verb)
        assert done.returncode == 1
        assert "tiny.yaml:5: model: There is no model './model'" in done.stderr
        assert "Did you mean" in done.stderr
