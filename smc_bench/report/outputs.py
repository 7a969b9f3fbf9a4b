"""Files of a report, each written whole or not at all, and each on its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from smc_bench.errors import SmcBenchError
from smc_bench.names import below

Make = Callable[[Path], None]
"""Writes one file."""


@dataclass
class Written:
    """What came of a report's files.

    Attributes:
        paths: Files that were written.
        failed: Why others were not, by name.
    """

    paths: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def attempt(self, name: str, work: Callable[[], object]) -> None:
        """Do one part of a report; what goes wrong in it is noted, and ends nothing else."""
        try:
            work()
        except Exception as error:
            # Whatever it is (a font, a full disk, a fault of ours): the rest must not be lost.
            self.failed[name] = in_words(error)

    def files(self, folder: Path, makers: Mapping[str, Make]) -> None:
        """Write each file of a folder by itself."""
        for name, make in makers.items():
            self.attempt(name, partial(self._file, below(folder, name), make))

    def _file(self, path: Path, make: Make) -> None:
        self.paths.append(write(path, make))


def write(path: Path, make: Make) -> Path:
    """Write a file; the one that stood there stays until the new one is whole."""
    with replacing(path) as temporary:
        make(temporary)
    return path


def write_all(folder: Path, makers: Mapping[str, Make]) -> list[Path]:
    """Write all files; the first that can't be written is an error."""
    return [write(below(folder, name), make) for name, make in makers.items()]


def text(path: Path, content: str) -> None:
    """Write a text in UTF-8, whatever the terminal's encoding is."""
    # A lone surrogate from somebody's data must not cost the file.
    path.write_text(content, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, with the same ending, that takes the other's place at the end.

    Raises:
        OSError: The folder or the file can't be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path}: is read-only")
    temporary = path.with_name(f".{path.stem}.{os.urandom(6).hex()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def in_words(error: BaseException) -> str:
    """One line about an error; of what is not ours with its kind."""
    if isinstance(error, SmcBenchError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    first = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
