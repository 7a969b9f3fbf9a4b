"""Every example of docs/extend.md as printed, through the command line and its workers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from safetensors.numpy import load_file

from tests.integration.test_run import records, smc

DOCUMENT = Path(__file__).parents[2] / "docs" / "extend.md"
FILES = ["my_scorer.py", "my_method.py", "my_schedule.py", "my_rates.py", "my_task.py"]
ENCODER = "bert.encoder."
STEPS = 18  # three epochs of 48 rows in batches of 8


def examples() -> dict[str, str]:
    """Code of the document by the name in its first line."""
    blocks = [t.content for t in MarkdownIt().parse(DOCUMENT.read_text()) if t.tag == "code"]
    return {b.split("\n")[0].removeprefix("# "): b for b in blocks if b.startswith("# my_")}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Any]:
    """Records of one run with all five files: a dense cell and an arm for each other file."""
    folder = tmp_path_factory.mktemp("extend")
    for name, text in examples().items():
        (folder / name).write_text(text)
    rows = folder / "mirror" / "reviews" / "plain"
    rows.mkdir(parents=True)
    for split, count in (("train", 48), ("validation", 24)):
        texts = [f"the film was {'good' if i % 2 else 'bad'}" for i in range(count)]
        lines = [json.dumps({"text": t, "label": i % 2}) for i, t in enumerate(texts)]
        (rows / f"{split}.jsonl").write_text("\n".join(lines))
    suite = folder / "mine.yaml"
    suite.write_text(f"""
name: mine
title: Mine
tasks: [reviews]
model: {tiny_model}
sparsity: [0.5]
seeds: [1]
baseline: gradual
recipe:
  scope: [encoder]
  distillation: null
  threshold: global
  sparsity_schedule: {{kind: one_shot, at: 1ep}}
  lr_schedule: {{kind: linear, peak: 1.0e-3, floor: 0, warmup: 0it}}
  train: {{duration: 3ep, batch: 8}}
recipes:
  dense: {{lr_schedule: {{kind: linear, peak: 1.0e-3}}, sparsity_schedule: null}}
arms:
  scorer: {{scorer: row_share, sparsity_schedule: {{kind: one_shot, at: 0it}}}}
  method: {{method: set, method_options: {{every: 4}}}}
  schedule: {{sparsity_schedule: {{kind: halves, events: 3}}}}
  rates: {{lr_schedule: {{kind: cosine, peak: 1.0e-3, warmup: 2it}}}}
""")
    include = [word for name in FILES for word in ("--include", folder / name)]
    where = ("--results", folder / "results", "--data-root", folder / "mirror")
    smc("run", suite, *where, *include, "--profile", "paper", "--no-report")
    found = records(folder / "results")
    by_arm: dict[str, Any] = {"model": tiny_model}
    for name, record in found.items():
        recipe = record["cell"]["recipe"]
        kinds = {
            "dense": recipe["sparsity_schedule"] is None,
            "scorer": recipe["scorer"] == "row_share",
            "method": recipe.get("method") == "set",
            "schedule": (recipe["sparsity_schedule"] or {}).get("kind") == "halves",
            "rates": recipe["lr_schedule"]["kind"] == "cosine",
        }
        (arm,) = [arm for arm, is_it in kinds.items() if is_it]
        by_arm[arm] = record | {"folder": folder / "results" / "cells" / "reviews" / name}
    return by_arm


def masks(record: dict[str, Any]) -> dict[str, Any]:
    """Where weights of the encoder's matrices are not zero in the saved file."""
    weights = load_file(record["folder"] / "weights" / "model.safetensors")
    return {n: w != 0 for n, w in weights.items() if n.startswith(ENCODER) and w.ndim == 2}


def test_the_document_has_one_file_of_each_sort() -> None:
    found = examples()
    assert list(found) == FILES
    # As promised: a whole task in seven lines, imports and all.
    code = [line for line in found["my_task.py"].splitlines()[1:] if line]
    assert len(code) <= 7


@pytest.mark.slow
def test_all_of_them_train_and_pass_the_audit(results: dict[str, Any]) -> None:
    assert set(results) == {"model", "dense", "scorer", "method", "schedule", "rates"}
    for arm in ("scorer", "method", "schedule", "rates"):
        scope = results[arm]["sparsity"]["scope"]
        assert scope["zeros"] == int(scope["total"] * 0.5 + 0.5), arm
        assert set(results[arm]["metrics"]) == {"accuracy", "f1"}


@pytest.mark.slow
def test_the_scorer_prunes_the_least_shares_of_rows(results: dict[str, Any]) -> None:
    """Worked out with numpy on the weights before training."""
    given = load_file(results["model"] / "model.safetensors")
    shares = {}
    for name, kept in masks(results["scorer"]).items():
        weight = given.get(name.removeprefix("bert."), given.get(name)).astype(np.float64)
        shares[name] = np.abs(weight) / np.linalg.norm(weight, axis=1, keepdims=True)
        assert kept.shape == weight.shape
    limit = np.median(np.concatenate([s.ravel() for s in shares.values()]))
    for name, kept in masks(results["scorer"]).items():
        assert np.mean(kept == (shares[name] > limit)) > 0.999, name


@pytest.mark.slow
def test_the_method_exchanges_weights_after_the_event(results: dict[str, Any]) -> None:
    """30 % of the weights that stay, three times; some of them come back by chance.

    A recipe without the method prunes at the same step, so the masks would else be much alike.
    """
    plain, own = masks(results["rates"]), masks(results["method"])
    assert [event["step"] for event in results["method"]["events"]] == [6]
    moved = sum(int((plain[n] & ~own[n]).sum()) for n in own)
    assert moved > 0.15 * sum(int(kept.sum()) for kept in own.values())


@pytest.mark.slow
def test_the_schedule_halves_the_distance(results: dict[str, Any]) -> None:
    events = results["schedule"]["events"]
    assert [event["step"] for event in events] == [4, 8, 12]
    assert [event["target"] for event in events] == [0.25, 0.375, 0.5]


@pytest.mark.slow
def test_the_rates_follow_a_cosine(results: dict[str, Any]) -> None:
    lines = (results["rates"]["folder"] / "train.jsonl").read_text().splitlines()
    told = [line for line in map(json.loads, lines) if line["phase"] == "train"]
    assert told
    for line in told:
        step = line["step"] - 1
        rate = 1e-3 * (1 + math.cos(math.pi * (step - 2) / (STEPS - 2))) / 2
        assert line["lr"] == pytest.approx(1e-3 * (step + 1) / 2 if step < 2 else rate)
