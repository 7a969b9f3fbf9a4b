"""Writing files and folders so that readers see all of them or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path next to ``path`` to write to; it takes ``path``'s place if the block succeeds.

    Raises:
        OSError: The folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private to their owner, and caches are often shared by a group.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Give a temporary folder inside ``parent``, and remove what is left of it afterwards.

    Raises:
        OSError: ``parent`` can't be written.
    """
    folder = parent / f".scratch-{os.urandom(8).hex()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_folder(folder: Path, target: Path) -> None:
    """Rename ``folder`` to ``target``, unless another process has put the same there first.

    Raises:
        OSError: The rename failed and ``target`` is not there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse; the rename is still atomic
            os.fsync(handle)
    finally:
        os.close(handle)


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key comes twice: which of two values counts, JSON leaves open."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} comes twice")
    return found
