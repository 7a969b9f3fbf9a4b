"""YAML files that remember their lines, so that every error names file, line and key."""

from __future__ import annotations

import difflib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from smc_bench.errors import SuiteError, shortened
from smc_bench.suite.yaml_tree import MAX_BYTES, KeyPath, YamlProblem, parse, plain

__all__ = ["KeyPath", "YamlFile", "dotted", "nearest", "parse_value", "read_yaml"]


@dataclass(frozen=True)
class YamlFile:
    """A parsed file: plain data, and the line (from 1) of each key path."""

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, location: KeyPath) -> int:
        """Line of the nearest known ancestor of a key path."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1

    def fail(self, location: KeyPath, message: str) -> NoReturn:
        """Raise a SuiteError that names file, line and key."""
        raise _error(self.path, self.line(location), location, message)


def read_yaml(path: Path) -> YamlFile:
    """Parse a YAML file whose top level is a mapping.

    Raises:
        SuiteError: If the file can't be read, is not YAML, holds a key twice, or is beyond what a
            file of settings may hold.
    """
    text = _text(path)
    try:
        data, lines = plain(parse(text))
    except YamlProblem as problem:
        raise _error(path, problem.line, problem.at, str(problem)) from None
    if not isinstance(data, dict):
        raise SuiteError(f"{path}:1: the file must hold keys such as name: and tasks:")
    return YamlFile(path, data, lines)


def _text(path: Path) -> str:
    try:
        # Looked at before it is opened: opening a pipe waits for its other end.
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "no regular file"
            raise SuiteError(f"{path}: can't be read: it is {kind}")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SuiteError(f"{path}: can't be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise SuiteError(f"{path}: is larger than {MAX_BYTES // 1024} KiB: no file of settings")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SuiteError(f"{path}:{line}: is not UTF-8 text (byte {error.start})") from None


def dotted(location: KeyPath) -> str:
    """A key path as a person writes it, parts that are too long cut."""
    return ".".join(shortened(str(part), 40) for part in location)


def _error(path: Path, line: int, location: KeyPath, message: str) -> SuiteError:
    key = dotted(location)
    return SuiteError(f"{path}:{line}: {key}: {message}" if key else f"{path}:{line}: {message}")


def nearest(word: str, known: list[str]) -> str:
    """``; did you mean 'x'?`` or the list of what is known, for the end of a message."""
    close = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.55)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def parse_value(text: str) -> Any:
    """A single YAML value, as a command line writes it; the rules are those of files.

    Raises:
        YamlProblem: If it is not YAML, or beyond what a file may hold.
    """
    if len(text) > MAX_BYTES:
        raise YamlProblem(1, "is too long")
    return plain(parse(text))[0]
