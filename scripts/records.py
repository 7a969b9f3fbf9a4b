"""Small records of finished cells: out of a results folder into files to commit, and back.

    records.py collect RESULTS RECORDS     what is finished and not there yet
    records.py restore RECORDS RESULTS     [--without-dense]

One compressed JSON file a cell: its record, results by example, weights left at each pruning event
and a thinned curve of training. No weights: a dense model that has to teach is trained again, which
``--without-dense`` leaves room for.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from smc_bench.store.files import create_json
from smc_bench.store.store import CellFolder

CURVE_POINTS = 120


def packed(folder: Path) -> dict[str, Any]:
    """Everything small of a finished cell."""
    content: dict[str, Any] = {"record": _json(folder / "record.json")}
    for name in ("predictions", "layers"):
        path = folder / f"{name}.json.gz"
        if path.exists():
            content[name] = json.loads(gzip.decompress(path.read_bytes()))
    return content | {"curve": _curve(folder / "train.jsonl")}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _curve(path: Path) -> list[dict[str, Any]]:
    """At most CURVE_POINTS steps of training, evenly spread, the last one among them."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    steps = {line["step"]: line for line in lines if line.get("phase") == "train"}
    points = [steps[step] for step in sorted(steps)]
    every = max(1, -(-len(points) // CURVE_POINTS))
    kept = points[::-1][::every][::-1]
    wanted = ("step", "loss", "lr", "sparsity")
    return [{key: point[key] for key in wanted if key in point} for point in kept]


def collect(results: Path, records: Path) -> None:
    """Pack what is finished; a file that is there stays as it is."""
    new = 0
    for path in sorted((results / "cells").glob("*/*/record.json")):
        cell = path.parent
        target = records / cell.parent.name / f"{cell.name}.json.gz"
        if target.exists():
            _compare(target, _json(path))
            continue
        if not _json(path)["reportable"]:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(packed(cell), sort_keys=True, separators=(",", ":"))
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(gzip.compress(text.encode(), mtime=0))
        part.replace(target)
        new += 1
    print(f"{new} new records; {len(list(records.glob('*/*.json.gz')))} in {records}")


def _compare(target: Path, record: dict[str, Any]) -> None:
    """Say where a cell that was trained again on another machine has other weights."""
    kept = json.loads(gzip.decompress(target.read_bytes()))["record"]
    if kept["weights_sha256"] != record["weights_sha256"]:
        told = f"{target.name}: trained again with other weights; the first record stays"
        print(f"{told} ({kept['metrics']} then, {record['metrics']} now)", file=sys.stderr)


def restore(records: Path, results: Path, *, dense: bool) -> None:
    """Unpack records into a results folder; a cell that is there stays as it is."""
    count = 0
    for path in sorted(records.glob("*/*.json.gz")):
        content = json.loads(gzip.decompress(path.read_bytes()))
        record = content["record"]
        if not dense and record["cell"]["recipe"]["sparsity_schedule"] is None:
            continue
        folder = results / "cells" / path.parent.name / path.name.removesuffix(".json.gz")
        if (folder / "record.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        CellFolder(folder).create(record["cell"])
        for name in ("predictions", "layers"):
            if name in content:
                text = json.dumps(content[name])
                (folder / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        lines = [json.dumps({"phase": "train", **point}) for point in content["curve"]]
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        create_json(folder / "record.json", record)
        count += 1
    print(f"{count} records restored to {results}")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("collect", "restore"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--without-dense", action="store_true")
    given = parser.parse_args()
    if given.what == "collect":
        collect(given.source, given.target)
    else:
        restore(given.source, given.target, dense=not given.without_dense)


if __name__ == "__main__":
    main()
