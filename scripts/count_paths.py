"""Paths through the head of finished cells whose record does not tell them yet, from their weights.

    count_paths.py RESULTS COUNTS.csv

Records made since count them (``head_paths``, docs/record.md). Adds a line for each further cell:
its id, the SHA-256 of the weights, paths left, paths of a dense head.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file

from smc_bench.models.head_paths import head_paths
from smc_bench.models.load import load_model
from smc_bench.report.data.stored import Finished, finished
from smc_bench.store.store import Store
from smc_bench.tasks.registry import get_task

COLUMNS = ["cell", "weights_sha256", "paths", "of"]


def read(counts: Path) -> dict[str, tuple[str, int, int]]:
    """Hash of the weights, paths and paths of a dense head, by cell."""
    if not counts.exists():
        return {}
    with counts.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {r["cell"]: (r["weights_sha256"], int(r["paths"]), int(r["of"])) for r in rows}


def counted(store: Store, known: set[str]) -> Iterator[tuple[str, str, int, int]]:
    """A line for each cell that has weights, and neither a count in its record nor a line."""
    cells, _ = finished(store)
    for cell_id, item in cells.items():
        folder = store.folder(item.cell.folder).path / "weights"
        if cell_id in known or item.record.head_paths or not folder.is_dir():
            continue
        found = _count(item, folder)
        if found is not None:
            yield (cell_id, item.record.weights_sha256, *found)


def _count(item: Finished, folder: Path) -> tuple[int, int] | None:
    task = get_task(item.cell.task.name)
    model = load_model(folder, task.head, task.spec.labels, seed=0, finished=True)
    return head_paths(model, load_file(folder / "model.safetensors"))


def main() -> int:
    """Count, and keep what was counted before."""
    results, counts = Path(sys.argv[1]), Path(sys.argv[2])
    known = read(counts)
    lines = {cell: (cell, *rest) for cell, rest in known.items()}
    lines |= {line[0]: line for line in counted(Store(results), set(known))}
    with counts.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *(lines[cell] for cell in sorted(lines))])
    print(f"{len(lines) - len(known)} cells counted, {len(lines)} in {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
