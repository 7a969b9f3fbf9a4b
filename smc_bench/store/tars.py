"""Finished cells out of a tar: what is wanted of it, into folders of ours, and nothing else."""

from __future__ import annotations

import re
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from smc_bench.errors import StoreError, disk_is_full
from smc_bench.names import below
from smc_bench.store.measured import MEASURED
from smc_bench.store.packed import ENDING, MOST_BYTES

CELL = re.compile(r".+-[0-9a-f]{12}")
"""Name of a cell's folder: ``<slug>-<cell id>``."""

_SMALL = (
    "record.json", "cell.json", "predictions.json.gz", "layers.json.gz", "train.jsonl", MEASURED,
)  # fmt: skip
_TORN = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError)


def unpack(source: Path, scratch: Path, *, weights: bool) -> None:
    """Copy what is wanted of a tar, each top folder into one of its own, by names of ours alone.

    Raises:
        StoreError: A member's path leads out of the tar, or the tar can't be read.
        OSError: There is no room for the copy.
    """
    tops: dict[tuple[str, ...], str] = {}
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                inside = _inside(source, member)
                wanted = _wanted(inside, weights=weights)
                if not wanted or member.isdir():
                    continue
                top = tops.setdefault(inside[: -len(wanted)], f"{len(tops):03d}")
                _copy(tar, member, below(scratch, top, *wanted), source)
            _check_end(tar, source)
    except _TORN as error:
        if isinstance(error, OSError) and disk_is_full(error):
            raise  # of the copy, not of the tar
        raise StoreError(f"{source}: not a tar that can be read: {error}") from None


def _check_end(tar: tarfile.TarFile, source: Path) -> None:
    """A tar that was cut between two members, or has others after its end, would lose cells.

    Raises:
        StoreError: Its end is missing, or not the end.
    """
    file = tar.fileobj
    assert file is not None
    file.seek(tar.offset)
    block = bytes(file.read(1 << 20))
    if len(block) < tarfile.BLOCKSIZE:
        raise StoreError(f"{source}: its end is missing: the tar was cut; copy it again")
    while block and not any(block):
        block = bytes(file.read(1 << 20))
    if block:
        raise StoreError(
            f"{source}: there is more after its end, as where tars are joined: give each of them"
        )


def _inside(source: Path, member: tarfile.TarInfo) -> tuple[str, ...]:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise StoreError(f"{source}: refused: {member.name} leads out of the tar")
    return path.parts


def _wanted(path: tuple[str, ...], *, weights: bool) -> tuple[str, ...]:
    """The last names of a member's path, ``task/cell/file``, where it is one of a finished cell."""
    packed = path[-1].removesuffix(ENDING) if path else ""
    if len(path) >= 2 and packed != path[-1] and CELL.fullmatch(packed):
        return path[-2:]
    if len(path) >= 3 and path[-1] in _SMALL and CELL.fullmatch(path[-2]):
        return path[-3:]
    kept = weights and len(path) >= 4 and path[-2] == "weights" and path[-1][0] != "."
    if kept and CELL.fullmatch(path[-3]):
        return path[-4:]
    return ()


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, source: Path) -> None:
    """Content alone: no owners, modes or links."""
    if not member.isreg():
        raise StoreError(
            f"{source}: refused: {member.name} is a link or a device; pack files "
            "(tar --dereference --hard-dereference)"
        )
    if member.size > MOST_BYTES and path.parent.name != "weights":
        raise StoreError(f"{source}: refused: {member.name} has {member.size >> 20} MiB")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # a regular file
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
