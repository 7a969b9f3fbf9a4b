"""What a results folder no longer needs: found first, removed second. Records always stay.

Nothing of a cell that an attempt holds is touched: not only the newest attempt counts, because an
older one may run on beside it. Of an unfinished cell the newest checkpoint stays, from which the
next attempt goes on.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_bench.engine.prefix import PREFIX
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, remove_folder
from smc_bench.store.merge import SCRATCH
from smc_bench.store.store import SHARES, CellFolder, Store

ARTEFACTS = "artefacts"
# What another process may be writing under a hidden name at this moment is left alone for so long.
UNFINISHED_SECONDS = 24 * 3600.0
_CELL_ID = re.compile(r"[0-9a-f]{12}")
_MAX_NOTE = 1 << 20


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs any more.

    Attributes:
        path: Where it is.
        why: What it was.
        cell: The cell it belongs to, or None for an artefact that cells share.
    """

    path: Path
    why: str
    cell: CellFolder | None = None


def leftovers(store: Store, older_than: float | None = None) -> list[Leftover]:
    """Everything that can go, in the order of the folders.

    Args:
        store: Results.
        older_than: Seconds since the last change after which an artefact goes although its
            teacher is still there, or None for never.
    """
    folders = [CellFolder(path) for path in sorted(store.cells.glob("*/[!.]*")) if path.is_dir()]
    found = [item for folder in folders if not held(folder) for item in _of_cell(folder)]
    found += [
        Leftover(path, "unfinished merge")
        for path in sorted(store.root.glob(f"{SCRATCH}*"))
        if _age(path) > UNFINISHED_SECONDS
    ]
    return found + list(_artefacts(store, folders, older_than))


def held(folder: CellFolder) -> bool:
    """Whether any attempt at a cell, not only the newest, is still alive."""
    numbers = [int(path.stem) for path in (folder.path / "attempts").glob("[0-9]*.json")]
    return any(folder.alive(number) for number in numbers)


def remove(found: Iterable[Leftover]) -> list[Leftover]:
    """Remove what was found, but for what belongs to a cell that was taken meanwhile.

    Returns:
        What was removed.

    Raises:
        OSError: Something can't be removed.
    """
    gone = []
    for item in found:
        if item.cell is not None and held(item.cell):
            continue
        if item.path.is_dir() and not item.path.is_symlink():
            remove_folder(item.path)
        else:
            item.path.unlink(missing_ok=True)
        gone.append(item)
    return gone


def room(paths: Iterable[Path]) -> int:
    """Bytes on the disk that removing all these would free.

    A checkpoint may have a second name in the folder of a later attempt (a hard link): a file
    counts only where all its names go.
    """
    names: dict[tuple[int, int], int] = defaultdict(int)
    files: dict[tuple[int, int], os.stat_result] = {}
    for path in paths:
        for file in [path, *path.rglob("*")]:
            try:
                found = file.lstat()
            except OSError:
                continue
            if not file.is_dir() or file.is_symlink():
                names[found.st_dev, found.st_ino] += 1
                files[found.st_dev, found.st_ino] = found
    return sum(512 * s.st_blocks for key, s in files.items() if names[key] >= s.st_nlink)


def _of_cell(folder: CellFolder) -> Iterator[Leftover]:
    """What an unheld cell's folder holds beyond its results and what a next attempt needs."""
    if (folder.path / "record.json").exists():
        for name in ("partial", "checkpoints"):
            if (folder.path / name).exists():
                yield Leftover(folder.path / name, f"{name} of a finished cell", folder)
    else:
        yield from _of_unfinished(folder)
    for path in sorted([*folder.path.glob(".*"), *folder.path.glob("attempts/.*")]):
        if _age(path) > UNFINISHED_SECONDS:
            yield Leftover(path, "torn write", folder)


def _of_unfinished(folder: CellFolder) -> Iterator[Leftover]:
    # One by one, under their attempts' numbers: an attempt that starts now has a new number.
    for path in sorted(folder.path.glob("partial/*")):
        yield Leftover(path, "unfinished results of a dead attempt", folder)
    newest = folder.newest_checkpoint()
    for path in sorted(folder.path.glob("checkpoints/[0-9]*/*")):
        if path != newest:
            torn = path.name.startswith(".")
            yield Leftover(path, "unfinished checkpoint" if torn else "older checkpoint", folder)
    for name in ("weights", "predictions.json.gz", "layers.json.gz"):
        if (folder.path / name).exists():
            yield Leftover(folder.path / name, "results without a record", folder)


def _artefacts(
    store: Store, folders: list[CellFolder], older_than: float | None
) -> Iterator[Leftover]:
    """Shared artefacts (``artefacts/<kind>/<hash>/``) that no cell can want any more."""
    root = store.root / ARTEFACTS
    if not root.is_dir():
        return
    begun = list(shared_prefixes(store, folders))
    yield from begun
    ids = {folder.path.name.rsplit("-", 1)[-1] for folder in folders}
    running = [_teacher(folder.path / "cell.json") for folder in folders if held(folder)]
    for path in sorted(set(root.glob("*/*")) - {item.path for item in begun}):
        age = _age(path)
        if path.name.startswith("."):
            if age > UNFINISHED_SECONDS:
                yield Leftover(path, "unfinished artefact")
            continue
        if not path.is_dir():
            continue
        teachers = _teachers(path)
        if running and (not teachers or teachers & set(running)):
            continue  # a cell that runs may be reading it
        if teachers and not teachers & ids:
            yield Leftover(path, f"its teacher {', '.join(sorted(teachers))} is gone")
        elif older_than is not None and age > older_than:
            yield Leftover(path, f"not changed for {age / 86400:.1f} days")


def shared_prefixes(
    store: Store, folders: Iterable[CellFolder] | None = None
) -> Iterator[Leftover]:
    """Kept steps before the first event, where no unfinished cell shares any."""
    kept = sorted((store.root / ARTEFACTS / PREFIX).glob("[!.]*"))
    known = folders or (CellFolder(note.parent) for note in store.cells.glob(f"*/*/{SHARES}"))
    if kept and not any(
        (folder.path / SHARES).exists() and not (folder.path / "record.json").exists()
        for folder in known
    ):
        for path in kept:
            yield Leftover(path, "shared prefix of cells that are all finished")


def _teachers(artefact: Path) -> set[str]:
    """Cells that an artefact says it was made from; none where it does not say."""
    notes = [p for p in artefact.glob("*.json") if p.stat().st_size <= _MAX_NOTE]
    return {name for path in notes if (name := _teacher(path)) is not None}


def _teacher(path: Path) -> str | None:
    """The id under the first key ``teacher`` of a JSON file."""
    try:
        return _find(read_json(path))
    except StoreError:
        return None


def _find(content: Any) -> str | None:
    if not isinstance(content, dict):
        return None
    mine = content.get("teacher")
    if isinstance(mine, str) and _CELL_ID.fullmatch(mine):
        return mine
    return next((found for value in content.values() if (found := _find(value))), None)


def _age(path: Path) -> float:
    """Seconds since the newest change in a folder."""
    times = [p.lstat().st_mtime for p in (path, *path.rglob("*"))]
    return time.time() - max(times)
