"""Checkpoints carry the hashes of their files, so that damaged bits are never trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, remove_folder, write_json

HASHES = "sha256.json"


def write_hashes(folder: Path) -> None:
    """Write the SHA-256 of each file of a checkpoint beside them.

    Raises:
        OSError: If the disk is full or the folder can't be written.
    """
    write_json(folder / HASHES, _hashes(folder))


def drop_damaged(checkpoints: Path) -> list[Path]:
    """Remove checkpoints whose files are not those that were written.

    Those of versions that wrote no hashes stay.

    Args:
        checkpoints: The folder ``checkpoints`` of a cell.

    Returns:
        What was removed.
    """
    damaged = []
    for path in sorted(checkpoints.glob("[0-9]*/step-[0-9]*")):
        try:
            written = read_json(path / HASHES)
            good = written is None or written == _hashes(path)
        except (StoreError, OSError):
            if not path.exists():
                continue  # its owner has just replaced it by a newer one
            good = False
        if not good:
            remove_folder(path)
            damaged.append(path)
    return damaged


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != HASHES and not path.name.startswith("."):
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
