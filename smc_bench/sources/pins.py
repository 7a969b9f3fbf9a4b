"""Pins: the exact content that rows or weights were taken from."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smc_bench.models.files import weight_files
from smc_bench.sources._files import replacing

Source = Literal["mirror", "hub", "wheel", "path"]

MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Patterns of the files of a model that may be read; all of them are hashed, no others are read.

Weights (also in shards of any name), configuration, and every file that a tokenizer of a known
architecture consists of: ``vocab.txt``, ``merges.txt``, ``added_tokens.json``,
``sentencepiece.bpe.model`` and so on. Only files right in the folder count.
"""

_BIG = 1 << 20  # smaller files are hashed faster than the cache is read
_SETTLED_NS = 2_000_000_000  # a file changed twice within a clock tick keeps its time


@dataclass(frozen=True)
class Pin:
    """One source, exactly.

    Attributes:
        source: Which kind of place it is.
        value: ``sha256:<hex>`` of files, wheels and folders, the commit of a Hub repository.
        place: Where a person would look for it; not part of the identity.
    """

    source: Source
    value: str
    place: str

    @property
    def identity(self) -> str:
        """What goes into the identity of a cell: the same content gives the same text anywhere."""
        return f"{self.source}:{self.value}"


def sha256_file(path: Path, cache: Path | None = None) -> str:
    """Hash a file (hex), remembering big ones in ``<cache>/hashes.json``.

    A remembered hash is used while the file's path, size, and times of modification and of change
    stay as they were (the latter can't be set back: ``cp -p`` and ``touch -r`` renew it). A cache
    that can't be read or written costs only time.

    Raises:
        OSError: The file can't be read.
    """
    path = path.resolve()
    before = path.stat()
    key = [before.st_size, before.st_mtime_ns, before.st_ctime_ns]
    remember = cache is not None and before.st_size >= _BIG
    if cache is not None and remember:
        known = _read_hashes(cache).get(str(path))
        if known is not None and known[:-1] == key:
            return str(known[-1])
    digest = _digest(path)
    if cache is not None and remember and time.time_ns() - before.st_mtime_ns > _SETTLED_NS:
        _remember(cache, str(path), [*key, digest])
    return digest


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that its hash covers, by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and any(fnmatch.fnmatchcase(path.name, p) for p in MODEL_FILES)
    )


def sha256_model_folder(folder: Path, cache: Path | None = None) -> str:
    """Hash weights, config and tokenizer of a model (hex).

    Covers names relative to the folder and contents; neither the folder's place nor the order in
    which files are listed matters.

    Raises:
        MissingDataError: See :func:`smc_bench.models.files.weight_files`.
        ModelError: See :func:`smc_bench.models.files.weight_files`.
        OSError: A file can't be read.
    """
    weight_files(folder)
    names = sorted(path.name for path in model_files(folder))
    whole = hashlib.sha256()
    for name in names:
        whole.update(f"{name}\0{sha256_file(folder / name, cache)}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_hashes(cache: Path) -> dict[str, list[object]]:
    try:
        known = json.loads((cache / "hashes.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, list) and len(v) == 4}


def _remember(cache: Path, path: str, entry: list[object]) -> None:
    known = {p: e for p, e in _read_hashes(cache).items() if os.path.exists(p)}
    known[path] = entry  # what a concurrent writer loses here, it computes again
    with suppress(OSError), replacing(cache / "hashes.json") as temporary:
        temporary.write_text(json.dumps(known, indent=1, sort_keys=True), "utf-8")
