"""Checkpoints of one cell, ``checkpoints/ATTEMPT/step-STEP``: the newest counts.

They carry the hashes of their files, so that damaged bits are never trained on.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from smc_bench.errors import StoreError
from smc_bench.store.files import adopt, read_json, remove_folder, sync_folder, write_json

HASHES = "sha256.json"

_CHECKPOINT = re.compile(r"[0-9]{1,9}/step-[0-9]{1,18}")


def newest(folder: Path, attempt: int | None = None) -> Path | None:
    """The complete checkpoint with the most steps, of any attempt.

    Args:
        folder: The folder ``checkpoints`` of a cell.
        attempt: Link it into this attempt's own folder first.
    """
    while True:
        there = max(_complete(folder), key=_step_and_attempt, default=None)
        if there is None or attempt is None or there.parent.name == f"{attempt:03d}":
            return there
        try:
            return adopt(there, folder / f"{attempt:03d}" / there.name)
        except FileNotFoundError:
            continue  # its owner has just replaced it by a newer one


def commit(folder: Path, temporary: Path) -> None:
    """Rename a written checkpoint to its final name, then drop those that it replaces.

    These are this attempt's and older attempts', unless they are further on.
    """
    write_hashes(temporary)
    sync_folder(temporary)
    final = temporary.with_name(temporary.name.removeprefix("."))
    remove_folder(final)
    temporary.rename(final)
    step, attempt = _step_and_attempt(final)
    for other in _complete(folder):
        its_step, its_attempt = _step_and_attempt(other)
        if other != final and its_attempt <= attempt and its_step <= step:
            remove_folder(other)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps of a checkpoint."""
    return _step_and_attempt(checkpoint)[0]


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


def _complete(folder: Path) -> list[Path]:
    found = folder.glob("[0-9]*/step-[0-9]*")
    return [path for path in found if _CHECKPOINT.fullmatch(f"{path.parent.name}/{path.name}")]


def _step_and_attempt(checkpoint: Path) -> tuple[int, int]:
    return int(checkpoint.name.removeprefix("step-")), int(checkpoint.parent.name)
