"""Atomic JSON files: temporary name, fsync, rename."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from smc_bench.errors import StoreError


def _beside(path: Path) -> Path:
    # Process ids are the same on many nodes of a cluster; random digits are not.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file so that it is there whole or not at all.

    Raises:
        OSError: If the disk is full or the folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def create_json(path: Path, content: Any) -> bool:
    """Write a JSON file whole, unless somebody has; False if the file is there already.

    The content is linked to its name, which fails where the name is taken; so of several writers
    on any machines one wins, and nobody ever sees half a file.

    Raises:
        OSError: If the disk is full or the folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        write_json(temporary, content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def adopt(source: Path, target: Path) -> Path:
    """Give a folder of files that never change a second name, by hard links.

    Raises:
        FileNotFoundError: If the source is removed meanwhile; nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(source, temporary, copy_function=_link_or_copy)
    except (shutil.Error, FileNotFoundError):
        if source.exists():
            raise
    # Folders go by a rename first, so one that is still there was whole all the time.
    if not source.exists():
        shutil.rmtree(temporary, ignore_errors=True)
        raise FileNotFoundError(source)
    temporary.rename(target)
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links between folders
        shutil.copy2(source, target)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it is there whole or not at all."""
    hidden = folder.with_name(f".gone-{folder.name}")
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        folder.rename(hidden)
    except FileNotFoundError:
        return
    shutil.rmtree(hidden, ignore_errors=True)


def read_json(path: Path) -> Any:
    """Content of a JSON file, or None where there is none.

    Raises:
        StoreError: If the file is torn or unreadable.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}: can't be read: {error}; move it away to run the cell again"
        ) from None


def sync_folder(folder: Path) -> None:
    """Flush every file of a folder to the disk, then the folder itself."""
    for path in [*sorted(folder.rglob("*")), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
