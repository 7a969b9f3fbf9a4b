"""A made-up store with everything that a page shows: training, layers, collapse, a failure."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.expand import Entry, Plan
from tests.helpers.records import finished, record_of, skilled

EXAMPLES, LAYERS, STEPS = 400, 12, 3000
GOLD = np.random.default_rng(7).integers(0, 2, EXAMPLES)
"""References of every made-up row."""

FAILURE = "needs 3.1 GiB, 2.0 are free <b>bold</b>"


def store_of(
    suite: Path,
    results: Path,
    skill: Mapping[str, float],
    *,
    collapsed: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> tuple[Plan, Store]:
    """Cells of arms that are right so often; collapsed ones always say 0, failed ones have none."""
    answers = skilled({arm: value for arm, value in skill.items()}, examples=EXAMPLES, spread=0.01)
    plan, store = finished(suite, results, lambda entry: None), Store(results)
    for entry in plan.entries:
        folder = store.folder(entry.cell.folder)
        folder.path.mkdir(parents=True, exist_ok=True)
        right = answers(entry)
        if entry.arm in failed or right is None:
            failure = {"type": "out_of_memory", "message": FAILURE, "attempt": 1, "time": "then"}
            (folder.path / "failure.json").write_text(json.dumps(failure))
            continue
        said = np.where(np.asarray(right) == 1.0, GOLD, 1 - GOLD)
        if entry.arm in collapsed:
            said = np.zeros_like(GOLD)
        _write(folder, entry, said, constant=entry.arm in collapsed)
    return plan, store


def _write(folder: CellFolder, entry: Entry, said: Any, *, constant: bool) -> None:
    correct = (said == GOLD).astype(float)
    rows = {"predictions": said.tolist(), "correct": correct.tolist()}
    splits = dict.fromkeys(entry.cell.task.eval_splits, rows)
    (folder.path / "predictions.json.gz").write_bytes(gzip.compress(json.dumps(splits).encode()))
    left = _weights_left(entry.cell.sparsity)
    record = record_of(
        entry.cell,
        metrics={"accuracy": 100.0 * float(correct.mean())},
        trivial={"accuracy": 100.0 * float(max(GOLD.mean(), 1.0 - GOLD.mean()))},
        weights_left=left,
        sparsity=_sparsity(left),
        events=_events(entry.cell.sparsity),
        total_steps=STEPS,
        outputs={
            split: {"rows": EXAMPLES, "all_equal": constant, "one_class": constant}
            for split in entry.cell.task.eval_splits
        },
    )
    (folder.path / "record.json").write_text(json.dumps(record))
    (folder.path / "train.jsonl").write_text("".join(_log(entry.cell.seed)))


def _weights_left(sparsity: float) -> dict[str, tuple[int, int]]:
    left: dict[str, tuple[int, int]] = {"bert.embeddings.word_embeddings.weight": (9000, 9000)}
    for layer in range(LAYERS):
        for name in ("attention.self.query", "output.dense"):
            total = 4000
            left[f"bert.encoder.layer.{layer}.{name}.weight"] = (
                total - round(sparsity * total), total,
            )  # fmt: skip
    return left | {"classifier.weight": (200, 200)}


def _sparsity(left: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    def count(word: str) -> dict[str, int]:
        found = [pair for name, pair in left.items() if word in name]
        total = sum(all_ for _, all_ in found)
        return {"zeros": total - sum(some for some, _ in found), "total": total}

    encoder, model = count("encoder"), count("")
    parts = {"embeddings": count("embeddings"), "encoder": encoder, "head": count("classifier")}
    return {"scope": encoder, "encoder": encoder, "model": model, "components": parts}


def _events(sparsity: float) -> list[dict[str, float]]:
    levels = [sparsity * k / 8 for k in range(1, 9)] if sparsity else []
    return [
        {"step": 300.0 * k, "target": level, "scope": level, "encoder": level}
        for k, level in enumerate(levels, start=1)
    ]


def _log(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        json.dumps(
            {
                "phase": "train",
                "step": step,
                "total": STEPS,
                "loss": 0.7 * float(np.exp(-step / 900)) + 0.05 * rng.random(),
                "lr": 1e-4 * (1 - step / STEPS),
                "sparsity": 0.5,
                "attempt": 1,
                "time": 1.0,
            }
        )
        + "\n"
        for step in range(10, STEPS + 1, 10)
    ]
