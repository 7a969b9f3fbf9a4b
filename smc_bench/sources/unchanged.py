"""Caches of models are read long after they were fetched: what is read must be what is pinned."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from pathlib import Path

from smc_bench.errors import CorruptDataError
from smc_bench.sources.pins import MODEL_FILES, sha256_file

_SHA256, _GIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")


def check_snapshot(folder: Path, cache: Path) -> None:
    """Hash the files of a snapshot in the Hub's cache.

    There each is a link to a file named by its content: by SHA-256, or by git's SHA-1 of a blob.
    Plain files (of caches without links) carry no hash, and are taken as they are.

    Args:
        folder: ``models--owner--name/snapshots/<commit>``.
        cache: Remembers the hashes of big files.

    Raises:
        CorruptDataError: A file is not what the commit has.
    """
    for path in sorted(folder.iterdir()):
        blob = path.resolve()
        model = any(fnmatch.fnmatchcase(path.name, pattern) for pattern in MODEL_FILES)
        if model and blob.parent.name == "blobs" and _content(blob, cache) not in (None, blob.name):
            raise CorruptDataError(
                f"{path} is not what commit {folder.name} has: {blob} was changed or is torn. "
                f"Remove {blob.parents[1]} and run `smc-bench fetch` again"
            )


def _content(blob: Path, cache: Path) -> str | None:
    if _SHA256.fullmatch(blob.name):
        return sha256_file(blob, cache)
    if _GIT.fullmatch(blob.name):
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return None


def is_unchanged(folder: Path, files: dict[str, str], cache: Path) -> bool:
    """Whether a folder has files of these SHA-256 (hex), by name."""
    try:
        return all(sha256_file(folder / name, cache) == wanted for name, wanted in files.items())
    except OSError:
        return False
