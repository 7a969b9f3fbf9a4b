"""Made-up finished cells whose truth is known, written as a run would leave them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.report.data.results import Results
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Entry, Plan, expand
from smc_bench.suite.load import load_suite

Correct = list[float]
Maker = Callable[[Entry], Correct | None]
"""Scores of each evaluation example, 0..1, or None for a cell that is not finished."""

SUITE = """
name: made_up
title: Made up
tasks: [{tasks}]
model: {model}
sparsity: [{sparsity}]
seeds: [{seeds}]
baseline: guidelines
{more}
arms:
  good: {{}}
  bad: {{distillation: {{temperature: 1.0}}}}
"""


def suite_file(
    folder: Path,
    *,
    tasks: str = "sst2",
    model: str = "minilm-l6",
    sparsity: str = "0.8",
    seeds: str = "1, 2, 3",
    more: str = "",
    arms: str = "",
) -> Path:
    """A suite of two arms (or those given as YAML)."""
    folder.mkdir(parents=True, exist_ok=True)
    text = SUITE.format(tasks=tasks, model=model, sparsity=sparsity, seeds=seeds, more=more)
    if arms:
        text = text[: text.index("arms:")] + arms
    path = folder / "made_up.yaml"
    path.write_text(text)
    return path


def finished(suite: Path, results: Path, make: Maker, **changes: Any) -> Plan:
    """Write a record (and results by example) for each cell that ``make`` answers."""
    pins = SourcePins(
        Roots.from_environment(None, None), Lock.load(results / "lock.json"), network=False
    )
    plan, store = expand(load_suite(suite), pins), Store(results)
    for entry in plan.entries:
        correct = make(entry)
        if correct is not None:
            write_cell(store, entry, correct, **changes)
    return plan


def results_of(suite: Path, results: Path, make: Maker, **changes: Any) -> Results:
    """Finished cells, read back."""
    return Results.of(finished(suite, results, make, **changes), Store(results))


def write_cell(
    store: Store,
    entry: Entry,
    correct: Correct,
    *,
    examples: bool = True,
    provenance: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    rows: dict[str, Any] | None = None,
) -> None:
    """One record as a worker would write it; accuracy-like scores on all evaluation splits.

    ``metrics`` and ``rows`` (by row: predictions, correct, gold) replace those that follow from
    ``correct``.
    """
    cell = entry.cell
    folder = store.folder(cell.folder).path
    folder.mkdir(parents=True, exist_ok=True)
    score = 100.0 * float(np.mean(correct))
    names = {"squad": ("f1",), "mnli": ("accuracy_m", "accuracy_mm")}
    metrics = metrics or dict.fromkeys(names.get(cell.task.name, ("accuracy",)), score)
    record = record_of(cell, metrics=metrics, trivial=dict.fromkeys(metrics, 50.0))
    if provenance:
        record["provenance"] = provenance
    (folder / "record.json").write_text(json.dumps(record))
    if examples:
        rows = rows or {"predictions": [int(c) for c in correct], "correct": correct}
        splits = dict.fromkeys(cell.task.eval_splits, rows)
        (folder / "predictions.json.gz").write_bytes(gzip.compress(json.dumps(splits).encode()))


def record_of(cell: Cell, **changes: Any) -> dict[str, Any]:
    """What a cell's ``record.json`` may hold."""
    zeros = {"zeros": int(1000 * cell.sparsity), "total": 1000}
    components = {
        "embeddings": {"zeros": 0, "total": 800},
        "encoder": zeros,
        "head": {"zeros": 0, "total": 10},
    }
    for name in set(cell.recipe.scope) - {"encoder"}:
        total = components[name]["total"]
        components[name] = {"zeros": int(total * cell.sparsity), "total": total}
    counts = [components[name] for name in cell.recipe.scope]
    scope = {key: sum(count[key] for count in counts) for key in ("zeros", "total")}
    return {
        "schema_version": 1,
        "cell_id": cell.id,
        "cell": cell.model_dump(mode="json"),
        "reportable": True,
        "metrics": {"accuracy": 50.0},
        "trivial": {"accuracy": 50.0},
        "sparsity": {
            "scope": scope,
            "encoder": zeros,
            "model": {"zeros": sum(c["zeros"] for c in components.values()), "total": 2000},
            "components": components,
        },
        "events": [],
        "total_steps": 10,
        "train_features": 10,
        "rows": {},
        "weights_sha256": "0" * 64,
        "train_seconds": 1.0,
        "device": "cpu",
        "threads": 1,
        "attempt": 1,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:00:01+00:00",
        "provenance": {
            "git_commit": "a" * 40,
            "git_dirty": False,
            "packages": {"torch": "2.6.0"},
            "pins": {},
        },
        **changes,
    }


def skilled(
    skill: dict[str, float],
    *,
    examples: int = 800,
    spread: float = 0.0,
    shared: float = 0.9,
    run: int = 0,
) -> Maker:
    """Answers of arms with a known share right (by arm), paired by example.

    Args:
        skill: Expected accuracy of each arm, 0..1; an arm that is left out is not finished.
        examples: Evaluation examples.
        spread: Standard deviation of a seed's own accuracy around its arm's, 0..1.
        shared: How much of an example's difficulty all arms and seeds share, 0..1.
        run: Number of the repetition, where several are made.
    """
    level = np.random.default_rng([99, run]).random(examples)

    def make(entry: Entry) -> Correct | None:
        if entry.arm not in skill:
            return None
        key = [run, entry.cell.seed, *entry.arm.encode(), round(1000 * entry.target)]
        rng = np.random.default_rng(key)
        own = np.where(rng.random(examples) < shared, level, rng.random(examples))
        reached = skill[entry.arm] + spread * rng.standard_normal()
        return [float(value) for value in own < reached]

    return make
