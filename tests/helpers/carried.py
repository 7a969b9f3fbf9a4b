"""Finished cells as a run leaves them, hashes and weights included, to carry between folders."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from smc_bench.report.statistics.examples import check_examples
from smc_bench.store.merge import Outcome, collect, merge
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


def finish(results: Path, cell: Cell, right: int = 3, weights: bool = False) -> CellFolder:
    """A finished cell that answered so many of four rows right."""
    folder = Store(results).folder(cell.folder)
    folder.create(cell.model_dump(mode="json"))
    correct = [1] * right + [0] * (4 - right)
    splits = {"validation": {"predictions": [1, 0, 1, 0], "correct": correct}}
    hashes = {name: hashlib.sha256(text).hexdigest() for name, text in WEIGHTS.items()}
    record = record_of(
        cell,
        metrics={"accuracy": 25.0 * right},
        predictions_sha256=digest(splits),
        weights_sha256=hashes.pop("model.safetensors"),
        files_sha256=hashes,
    )
    (folder.path / "predictions.json.gz").write_bytes(gzip.compress(json.dumps(splits).encode()))
    layers = {"tensors": {"w": 4}, "events": [{"step": 1, "target": 0.5, "left": {"w": 2}}]}
    (folder.path / "layers.json.gz").write_bytes(gzip.compress(json.dumps(layers).encode()))
    lines = [{"phase": "train", "step": i, "loss": 1 / i, "time": 3.0} for i in range(1, 501)]
    lines.append({"phase": "evaluate", "step": 4})
    (folder.path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    if weights:
        (folder.path / "weights").mkdir()
        for name, text in WEIGHTS.items():
            (folder.path / "weights" / name).write_bytes(text)
    (folder.path / "record.json").write_text(json.dumps(record))
    return folder


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
    return list(merge(Store(results), source, verify=check_examples, **options))


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
