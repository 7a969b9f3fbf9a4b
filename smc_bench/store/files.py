"""Files and folders that are there whole or not at all, with the modes that the umask asks for."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from smc_bench.errors import StoreError
from smc_bench.store.exclusive import put


def _beside(path: Path) -> Path:
    # Process ids are the same on many nodes of a cluster; random digits are not.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def write_json(path: Path, content: Any, *, sort_keys: bool = True) -> None:
    """Write a JSON file so that it is there whole or not at all.

    Without ``sort_keys`` the keys stay in the order that they have.

    Raises:
        OSError: If the disk is full or the folder can't be written.
    """
    text = json.dumps(content, indent=1, sort_keys=sort_keys)
    write_bytes(path, f"{text}\n".encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        OSError: If the disk is full or the folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def content_sha256(content: Any) -> str:
    """SHA-256 of content as JSON, whatever file it is kept in: keys sorted, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def create_json(path: Path, content: Any) -> bool:
    """Write a JSON file whole, unless somebody has; False if the file is there already.

    Of several writers on any machines one wins, and nobody ever sees half a file; see
    :func:`smc_bench.store.exclusive.put`.

    Raises:
        OSError: If the disk is full or the folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        write_json(temporary, content)
        return put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def adopt(source: Path, target: Path) -> Path:
    """Give a folder of files that never change a second name, by hard links or copies.

    Raises:
        FileNotFoundError: If the source is removed meanwhile; nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _copy_folder(source, temporary)
    except FileNotFoundError:
        if source.exists():
            raise
    # Folders go by a rename first, so one that is still there was whole all the time.
    if not source.exists():
        shutil.rmtree(temporary, ignore_errors=True)
        raise FileNotFoundError(source)
    temporary.rename(target)
    return target


def _copy_folder(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _copy_folder(path, target / path.name)
        else:
            _link_or_copy(str(path), str(target / path.name))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links between folders, or without any
        shutil.copyfile(source, target)  # content alone: modes and times may not be settable there


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
    """Flush every file of a folder to the disk, then the folder itself, before it gets its name.

    Files that a library has kept for their owner's eyes (safetensors writes through a private
    temporary file) get the mode of any other new file, which the umask decides.
    """
    mode = _mode_of_new_file(folder)
    for path in [*sorted(folder.rglob("*")), folder]:
        is_folder = path.is_dir()
        if not is_folder:
            with suppress(OSError):  # a file system that has no modes
                path.chmod(mode)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network and FUSE file systems can't flush a folder; its files are safe.
            if not is_folder or error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}:
                raise
        finally:
            os.close(descriptor)


def _mode_of_new_file(folder: Path) -> int:
    """Not by os.umask, which can only be read by changing it, for all threads."""
    probe = folder / f".mode.{secrets.token_hex(8)}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mode & 0o777
    finally:
        probe.unlink(missing_ok=True)
