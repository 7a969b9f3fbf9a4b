"""YAML that remembers its lines, so that every error names file, line and key.

Safe loader only; YAML 1.2 scalars (``yes`` is a word, ``1e-5`` a number); a key that stands twice
is an error instead of silently winning.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from smc_bench.errors import SuiteError
from smc_bench.names import visible

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 for booleans and numbers."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rules if tag.split(":")[-1] in {"null", "merge"}]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


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
        key = visible(".".join(str(part) for part in location), keep="")
        where = f"{self.path}:{self.line(location)}"
        raise SuiteError(f"{where}: {key}: {message}" if key else f"{where}: {message}")


def read_yaml(path: Path) -> YamlFile:
    """Parse a YAML file whose top level is a mapping.

    Raises:
        SuiteError: If the file can't be read, is not YAML, or holds a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_Loader)
    except OSError as error:
        raise SuiteError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SuiteError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        raise SuiteError(f"{path}:1: the file must hold keys such as name: and tasks:")
    lines: dict[KeyPath, int] = {}
    _walk(node, (), lines, path)
    loader = _Loader(text)
    try:
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise SuiteError(f"{path}:{mark.line + 1 if mark else 1}: {error.problem}") from None
    finally:
        loader.dispose()
    return YamlFile(path, data, lines)


def _walk(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: Path) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in seen:
                raise SuiteError(f"{path}:{line}: {'.'.join(map(str, (*at, key)))}: stands twice")
            seen.add(key)
            lines[(*at, key)] = line
            _walk(value_node, (*at, key), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            _walk(item, (*at, index), lines, path)


def nearest(word: str, known: list[str]) -> str:
    """``; did you mean 'x'?`` or the list of what is known, for the end of a message."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.55)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def parse_value(text: str) -> Any:
    """A single YAML value, as a command line writes it.

    Raises:
        yaml.YAMLError: If it is not YAML.
    """
    return yaml.load(text, Loader=_Loader)
