"""Small records: everything of a finished cell but its weights, as one compressed JSON file.

``RECORDS/<task>/<slug>-<cell id>.json.gz`` holds the record, the results by example, the weights
left at each pruning event, what was measured (``smc-bench measure``) and a thinned curve of
training. These are small enough to be committed;
:mod:`smc_bench.store.merge` reads them back.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

from smc_bench.errors import StoreError

CURVE_POINTS = 120
ENDING = ".json.gz"
MOST_BYTES = 1 << 28
"""Of one file once unpacked: far more than any evaluation split fills, less than a machine has."""


def pack(path: Path, content: dict[str, Any], curve: list[dict[str, Any]]) -> None:
    """Write a small record, whole or not at all; equal content gives equal bytes.

    Args:
        path: ``<slug>-<cell id>.json.gz``.
        content: ``record``, and ``predictions`` and ``layers`` where there are any.
        curve: The lines of ``train.jsonl``, which are thinned.

    Raises:
        OSError: The folder can't be written, or the disk is full.
    """
    whole = {**content, "curve": thinned(curve)}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most CURVE_POINTS steps of training, evenly spread, the last one among them."""
    steps = {line["step"]: line for line in lines if line.get("phase", "train") == "train"}
    points = [steps[step] for step in sorted(steps)]
    every = max(1, -(-len(points) // CURVE_POINTS))
    kept = points[::-1][::every][::-1]
    wanted = ("step", "loss", "lr", "sparsity")
    return [{key: point[key] for key in wanted if key in point} for point in kept]


def read_gzip(path: Path) -> Any:
    """Content of a compressed JSON file.

    Raises:
        StoreError: It is torn, no JSON, or larger than MOST_BYTES.
    """
    try:
        with gzip.open(path) as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise StoreError(f"{path}: holds more than {MOST_BYTES >> 20} MiB; it is not read")
        return json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: can't be read: {error}") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``train.jsonl``; none where there is no such file.

    A line that a killed worker left torn is skipped: it is of the progress, and no result.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    lines = []
    for text in texts:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if is_point(line):
            lines.append(line)
    return lines


def is_point(line: Any) -> bool:
    """Whether this can be a line of a curve."""
    step = line.get("step") if isinstance(line, dict) else None
    return isinstance(step, int) and not isinstance(step, bool) and step >= 0
