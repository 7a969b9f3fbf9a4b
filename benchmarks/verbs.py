"""Time the read-only verbs on a suite of many made-up finished cells.

    python benchmarks/verbs.py [--cells 72] [--cells 1000]

Each verb runs in a process of its own, as a person would run it; the verbs take turns, so that what
else the machine does hits all alike. Seconds of processor time (user and system) are what counts
where other work shares the cores; wall seconds stand beside them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.sources import Lock, Roots
from smc_bench.store.digest import curve_sha256, sealed
from smc_bench.store.files import content_sha256
from smc_bench.store.provenance import processor
from smc_bench.store.runs import Place, remember
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.suite.stored import Origin, StoredSuite

RESULTS = Path(__file__).parent / "results"
VERBS = {"plan": 0.5, "status": 0.5, "table": 1.5, "report --html": 10.0}
"""Verbs and their aims in seconds."""
_TENSORS = {"embeddings": 3, "encoder": 36, "head": 2}
_WEIGHTS = 100_000
"""Of each tensor."""

SUITE = """
name: many
title: Many cells
tasks: [sst2, mrpc, rte]
model: minilm-l6
sparsity: [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
seeds: [{seeds}]
baseline: guidelines
default_profile: laptop
arms:
  SMC setting: {{recipe: smc}}
  guidelines: {{}}
  cool: {{distillation: {{temperature: 1.0}}}}
  no teacher: {{distillation: null}}
profiles: {{laptop: {{}}}}
"""
_EXAMPLES = 800


def main() -> int:
    """Make the cells, time the verbs, print the figures and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--done", type=float, default=0.9, help="share of the cells that is done")
    given = parser.parse_args()
    counts = [_timed(cells, given.rounds, given.done) for cells in given.cells or (72, 300, 1000)]
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    text = json.dumps({"by number of cells": dict(counts), "machine": machine}, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "verbs.json").write_text(text + "\n", "utf-8")
    print(text)
    return 0


def _timed(cells: int, rounds: int, done: float) -> tuple[str, dict[str, dict[str, float]]]:
    """The true number of cells, and each verb's figures; a first round is left out."""
    with tempfile.TemporaryDirectory(prefix="smc-bench-verbs-") as name:
        root = Path(name)
        suite, count = _make(root, cells, done)
        seconds: dict[str, list[tuple[float, float]]] = {verb: [] for verb in VERBS}
        for _ in range(rounds + 1):
            for verb, found in seconds.items():
                found.append(_time(verb, suite, root / "results"))
    return str(count), {verb: _figures(times[1:], VERBS[verb]) for verb, times in seconds.items()}


def _figures(times: list[tuple[float, float]], aim: float) -> dict[str, float]:
    processor_time, wall = zip(*times, strict=True)
    return {
        "cpu_s": round(statistics.median(processor_time), 3),
        "cpu_s_least": round(min(processor_time), 3),
        "wall_s": round(statistics.median(wall), 3),
        "wall_s_least": round(min(wall), 3),
        "aim_s": aim,
    }


def _time(verb: str, suite: Path, results: Path) -> tuple[float, float]:
    words = [*verb.split(), str(suite), "--results", str(results)]
    command = [sys.executable, "-m", "smc_bench", *words]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _make(root: Path, cells: int, done: float) -> tuple[Path, int]:
    """A suite of about so many cells, most of them with a record as a run leaves it."""
    suite, store = root / "many.yaml", Store(root / "results")
    seeds = ", ".join(str(seed) for seed in range(1, 2 + max(1, cells // 72)))
    suite.write_text(SUITE.format(seeds=seeds))
    roots = Roots.from_environment(None, None)
    lock = Lock.load(store.root / "lock.json")
    plan = expand(load_suite(suite), SourcePins(roots, lock, network=False))
    stored = StoredSuite.of(plan, {}, Origin(file=suite.name))
    remember(store.root, stored, Place(suite), root / "cache")
    for number, cell in enumerate(plan.cells.values()):
        if number < done * len(plan.cells):
            _finish(store, cell, number)
    return suite, len(plan.cells)


def _finish(store: Store, cell: Cell, number: int) -> None:
    folder = store.folder(cell.folder)
    folder.create(cell.model_dump(mode="json"))
    lease = {"host": "here", "pid": 1, "born": 0.0, "ended": "then", "how": "done", "step": None}
    (folder.path / "attempts").mkdir()
    (folder.path / "attempts" / "001.json").write_text(json.dumps(lease))
    correct = [float((i * 7919 + number * 31) % 101 < 80) for i in range(_EXAMPLES)]
    rows = {"predictions": [int(value) for value in correct], "correct": correct}
    splits = dict.fromkeys(cell.task.eval_splits, rows)
    record = _record(cell, 100.0 * sum(correct) / len(correct), splits)
    (folder.path / "record.json").write_text(json.dumps(record, indent=1))
    packed = gzip.compress(json.dumps(splits).encode(), mtime=0)
    (folder.path / "predictions.json.gz").write_bytes(packed)


def _record(cell: Cell, score: float, splits: dict[str, Any]) -> dict[str, Any]:
    pruned = {name: name in cell.recipe.scope for name in _TENSORS}
    left = {
        f"{name}.{i}.weight": (round(_WEIGHTS * (1 - pruned[name] * cell.sparsity)), _WEIGHTS)
        for name, count in _TENSORS.items()
        for i in range(count)
    }

    def counted(*names: str) -> dict[str, int]:
        found = [pair for tensor, pair in left.items() if tensor.split(".")[0] in names]
        return {"zeros": sum(b - a for a, b in found), "total": sum(b for _, b in found)}

    metrics = {"accuracy": score}
    told = {"all_equal": False, "one_class": False}
    record = {
        "schema_version": 1,
        "cell_id": cell.id,
        "cell": cell.model_dump(mode="json"),
        "reportable": True,
        "metrics": metrics,
        "trivial": dict.fromkeys(metrics, 50.0),
        "sparsity": {
            "scope": counted(*cell.recipe.scope),
            "encoder": counted("encoder"),
            "model": counted(*_TENSORS),
            "components": {name: counted(name) for name in _TENSORS},
        },
        "events": [{"step": 100.0 * i, "target": 0.1 * i, "scope": 0.1 * i} for i in range(8)],
        "outputs": {"train": {**told, "rows": 256}, "validation": {**told, "rows": _EXAMPLES}},
        "weights_left": left,
        "total_steps": 1000,
        "train_features": 67349,
        "rows": {"train": 67349, "validation": _EXAMPLES},
        "weights_sha256": "0" * 64,
        "train_seconds": 100.0,
        "device": "cpu",
        "threads": 1,
        "attempt": 1,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:02:00+00:00",
        "execution": {"execution": {}, "threads": 1},
        "provenance": {"processor": processor(), "packages": {}, "pins": {}},
    }
    hashes = {"predictions_sha256": content_sha256(splits), "curve_sha256": curve_sha256([])}
    return sealed({**record, **hashes})


if __name__ == "__main__":
    sys.exit(main())
