"""Give a file a name that nobody has taken: the one step on which leases and records rest.

Three ways, because not every file system has each:

1. A hard link, which fails where the name is taken. POSIX, also over NFS.
2. A rename that does not replace (Linux: ``renameat2`` with ``RENAME_NOREPLACE``).
3. An exclusive create of the empty name, then an atomic rename onto it. For a moment the file is
   there and empty; who dies in that moment leaves it so. A lease like that counts as held for some
   seconds and then as over, a record like that is reported as damaged.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# What a file system answers that does not have the operation (a container's rules: EPERM, EACCES).
_NOT_THERE = {
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EMLINK,
    errno.EXDEV,
}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def put(temporary: Path, path: Path) -> bool:
    """Give a whole file its name, unless that is taken.

    Args:
        temporary: The file, in the same folder; the caller removes what is left of it.
        path: Its name to be.

    Returns:
        False if the name is taken.

    Raises:
        OSError: The folder can't be written.
    """
    for way in (_by_link, _by_rename):
        try:
            way(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
        else:
            return True
    return _by_create(temporary, path)


def _by_link(temporary: Path, path: Path) -> None:
    os.link(temporary, path)


def _by_rename(temporary: Path, path: Path) -> None:
    rename = _renameat2()
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = (os.fsencode(temporary), os.fsencode(path))
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


@cache
def _renameat2() -> Callable[..., Any] | None:
    """The C library's, where it has one (glibc from 2.28 on, musl from 1.2.6 on)."""
    if sys.platform != "linux":
        return None
    try:
        found = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    found.argtypes = (
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint,
    )  # fmt: skip
    return found


def _by_create(temporary: Path, path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    try:
        os.replace(temporary, path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True
