"""Rows from files: a local mirror laid out like the Hub's data sets.

``<root>/<data set>/<config>/<split>`` with one of the endings of :data:`ENDINGS`; a split that is
the same in all configs (WinoGrande's validation) may lie in ``<root>/<data set>/``.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources._files import keys_once

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
"""Endings of a split's file, in the order in which they are looked for."""


def check_root(root: Path | None) -> None:
    """See that a mirror that was asked for is there.

    Raises:
        MissingDataError: ``root`` is given and is not a folder.
    """
    if root is not None and not root.is_dir():
        raise MissingDataError(
            f"The data root {root} is not a folder. Correct --data-root or SMC_BENCH_DATA_ROOT, "
            "or leave both unset to use the Hugging Face Hub"
        )


def find(root: Path | None, dataset: str, config: str, split: str) -> Path | None:
    """Return the file of a split, or None if the mirror (or there) is none.

    Raises:
        MissingDataError: ``root`` is given and is not a folder.
    """
    if root is None:
        return None
    check_root(root)
    for folder in _folders(root, dataset, config):
        for ending in ENDINGS:
            path = folder / (split + ending)
            if path.is_file():
                return path
    return None


def looked_for(root: Path | None, dataset: str, config: str, split: str) -> list[str]:
    """Say in words what :func:`find` looks for, and what is there instead."""
    if root is None:
        return ["a local mirror: none is set (--data-root or SMC_BENCH_DATA_ROOT)"]
    lines = []
    for folder in _folders(root, dataset, config):
        there = sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
        has = f"the folder has {', '.join(there)}" if there else "no files there"
        lines.append(f"{folder}/{split}{{{','.join(ENDINGS)}}}: {has}")
    return lines


def read(path: Path, columns: Sequence[str], sha256: str | None = None) -> list[dict[str, Any]]:
    """Read all rows of a file, each with at least ``columns``.

    Args:
        path: A file with one of the endings of :data:`ENDINGS`.
        columns: What every row must have.
        sha256: If given, the hash (hex) that the file must have.

    Raises:
        CorruptDataError: Wrong hash, torn or malformed content, or a missing column; names the
            file, and the line where there are lines.
        MissingDataError: The file can't be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MissingDataError(f"{path} can't be read: {error.strerror}") from error
    if sha256 is not None:
        found = hashlib.sha256(raw).hexdigest()
        if found != sha256:
            raise CorruptDataError(
                f"{path} changed: its sha256 is {found}, but was {sha256} when it was pinned. "
                "Put the old file back, or plan again"
            )
    if path.suffix == ".parquet":
        return _parse_parquet(path, raw, columns)
    if path.suffix == ".gz":
        raw = _gunzip(path, raw)
    return _parse_lines(path, raw, columns)


def _folders(root: Path, dataset: str, config: str) -> tuple[Path, Path]:
    return root / dataset / config, root / dataset


def _gunzip(path: Path, raw: bytes) -> bytes:
    import gzip
    import zlib

    text = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            while chunk := file.read(1 << 20):
                text += chunk
    except (OSError, EOFError, zlib.error) as error:
        line = text.count(b"\n") + 1
        raise CorruptDataError(f"{path}: not a whole gzip file, line {line} on: {error}") from error
    return bytes(text)


def _parse_lines(path: Path, raw: bytes, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=keys_once)
        except (ValueError, RecursionError) as error:
            raise CorruptDataError(f"{path}:{number}: not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise CorruptDataError(f"{path}:{number}: a row must be a JSON object")
        _require(columns, row, f"{path}:{number}")
        rows.append(row)
    return rows


def _parse_parquet(path: Path, raw: bytes, columns: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(raw))
        rows: list[dict[str, Any]] = table.to_pylist()
    # Text that is not UTF-8 and times out of Python's range show only when values are made.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise CorruptDataError(f"{path}: not a whole parquet file: {error}") from error
    _require(columns, table.column_names, str(path))
    return rows


def _require(columns: Sequence[str], row: Collection[str], where: str) -> None:
    missing = [c for c in columns if c not in row]
    if missing:
        raise CorruptDataError(
            f"{where}: no column {', '.join(missing)} (there are: {', '.join(row)}). "
            "Rows must have the columns of the Hub's data set"
        )
