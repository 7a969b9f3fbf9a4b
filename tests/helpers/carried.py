"""Finished cells as a run leaves them, hashes and weights included, to carry between folders."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from smc_bench.report.statistics.scores import check_scores
from smc_bench.store.collecting import collect
from smc_bench.store.merge import Outcome, merge
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell
from tests.helpers.records import record_of
from tests.unit.suite.test_identity import BASE

WEIGHTS = {"model.safetensors": b"weights", "config.json": b"{}"}


def digest(content: Any) -> str:
    """The hash of results by example, spelled out here anew."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def cell_of(**changes: Any) -> Cell:
    return Cell.model_validate(BASE | changes)


def finish(
    results: Path, cell: Cell, right: int = 3, weights: bool = False, hashed: bool = True
) -> CellFolder:
    """A finished cell that answered so many of four rows right; by an older worker, no hashes.

    8,000 sequences in batches of 32 are 250 steps an epoch. Recipes of BASE prune half after the
    first of two epochs, a dense one trains for one.
    """
    folder = Store(results).folder(cell.folder)
    folder.create(cell.model_dump(mode="json"))
    record, beside = truth(cell, right)
    layers, lines, splits = beside["layers"], beside["curve"], beside["predictions"]
    (folder.path / "predictions.json.gz").write_bytes(gzip.compress(json.dumps(splits).encode()))
    (folder.path / "layers.json.gz").write_bytes(gzip.compress(json.dumps(layers).encode()))
    (folder.path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    if weights:
        (folder.path / "weights").mkdir()
        for name, text in WEIGHTS.items():
            (folder.path / "weights" / name).write_bytes(text)
    if hashed:
        record |= {"layers_sha256": digest(layers), "curve_sha256": digest(thin(lines))}
        record["record_sha256"] = digest(record)
    (folder.path / "record.json").write_text(json.dumps(record))
    return folder


def truth(cell: Cell, right: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record in which all agrees, without hashes of layers, curve and itself, and these."""
    pruned = cell.recipe.sparsity_schedule is not None
    steps = cell.limit or (500 if pruned else 250)
    event = {"step": 250, "target": 0.5}
    shares = {"scope": 0.5, "encoder": 0.5}
    events = [event] if pruned and steps >= 250 else []
    correct = [1] * right + [0] * (4 - right)
    splits = {"validation": {"predictions": [1, 0, 1, 0], "correct": correct}}
    positive = {0: 2, 1: 3, 2: 2, 3: 3, 4: 2}[right]  # 0101, 1101, 1001, 1011, 1010
    lines = [{"phase": "train", "step": i, "loss": 1 / i, "time": 3.0} for i in range(1, steps + 1)]
    lines.append({"phase": "evaluate", "step": 4})
    hashes = {name: hashlib.sha256(text).hexdigest() for name, text in WEIGHTS.items()}
    told_apart = {"all_equal": False, "one_class": False}
    record = record_of(
        cell,
        reportable=cell.limit is None,
        metrics={"accuracy": 25.0 * right},
        trivial={"accuracy": 25.0 * positive},
        events=[{**event, **shares} for event in events],
        total_steps=steps,
        train_features=8000,
        rows={"train": 8000, "validation": 4},
        outputs={"train": {**told_apart, "rows": 256}, "validation": {**told_apart, "rows": 4}},
        predictions_sha256=digest(splits),
        weights_sha256=hashes.pop("model.safetensors"),
        files_sha256=hashes,
    )
    zeros = record["sparsity"]["encoder"]["zeros"]
    record["weights_left"] = {"w": [1000 - zeros, 1000], "e": [800, 800], "h": [10, 10]}
    layers = {"tensors": {"w": 1000}, "events": [{**event, "left": {"w": 500}} for event in events]}
    return record, {"predictions": splits, "layers": layers, "curve": lines}


def thin(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most 120 points of training: of 500 steps every fifth, the last among them."""
    train = [line for line in lines if line["phase"] == "train"]
    every = {500: 5, 250: 3}.get(len(train), 1)
    return [
        {"step": line["step"], "loss": line["loss"]}
        for line in train
        if (train[-1]["step"] - line["step"]) % every == 0
    ]


def content(folder: CellFolder) -> dict[str, Any]:
    """What is in a cell's folder, unpacked, by name."""
    found: dict[str, Any] = {}
    for path in sorted(folder.path.rglob("*")):
        if path.suffix == ".gz":
            found[path.name] = json.loads(gzip.decompress(path.read_bytes()))
        elif path.suffix == ".json" and path.parent.name != "weights":
            found[path.name] = json.loads(path.read_text())
        elif path.is_file():
            found[path.name] = path.read_bytes()
    return found


def bring(source: Path, results: Path, **options: Any) -> list[Outcome]:
    return list(merge(Store(results), source, verify=check_scores, **options))


def whats(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.cell: outcome.what for outcome in outcomes}


def packed(results: Path, records: Path) -> Path:
    list(collect(Store(results), records))
    return records


def tar_of(source: Path, path: Path, name: str = "there/results") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, name)
    return path


def hidden(results: Path) -> list[str]:
    return [p.name for p in results.rglob(".*")]


ONE, TWO = cell_of(seed=1), cell_of(seed=2)
