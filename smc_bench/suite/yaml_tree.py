"""YAML text to plain data with lines: bounded, and with the types of YAML 1.2's core schema.

PyYAML's parser gives events; the data are built from them here, because no library does what is
needed. ruamel.yaml 0.19 was tried: it reads 010 and 10:30 as YAML 1.2 does, but is twice as slow as
PyYAML without libyaml (20 times as with it), needs 6 s to end 2,000 levels in a RecursionError,
expands aliases and references to itself without bound, stops at 5,000 digits with a ValueError and
turns 1_000, 2020-01-01 and 1e999 into what nobody wrote. PyYAML's own constructor follows YAML 1.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

KeyPath = tuple[str | int, ...]
Scalar = str | int | float | bool | None

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_VALUES = 20_000
"""Values of a file, those behind an alias counted where it stands; the largest suite has 300."""
MAX_KEY = 100
"""Characters of a key: names of arms and profiles become parts of file names."""

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNFIT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS: dict[str, Scalar] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)
_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class YamlProblem(ValueError):
    """What is wrong with a text, on which line (from 1), at which key."""

    def __init__(self, line: int, message: str, at: KeyPath = ()) -> None:
        super().__init__(message)
        self.line, self.at = line, at


@dataclass(frozen=True)
class Node:
    """A value and its line; of a mapping also the line of each key."""

    line: int
    value: Scalar | list[Node] | dict[str, tuple[int, Node]]


def parse(text: str) -> Node:
    """The only document of a text; null if it is empty.

    Raises:
        YamlProblem: If it is not YAML, or beyond what a file of settings may hold.
    """
    unfit = _UNFIT.search(text)
    if unfit is not None:
        raise YamlProblem(text.count("\n", 0, unfit.start()) + 1, _unfit(unfit[0]))
    try:
        return _Builder(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise YamlProblem(line, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlProblem(1, f"not valid YAML: {error}") from None


def plain(root: Node) -> tuple[object, dict[KeyPath, int]]:
    """Plain data, nothing in them shared, and the line of each key path.

    Raises:
        YamlProblem: If aliases make the data too deep or too many.
    """
    lines: dict[KeyPath, int] = {}
    return _plain(root, (), lines), lines


def _plain(node: Node, at: KeyPath, lines: dict[KeyPath, int]) -> object:
    lines.setdefault(at, node.line)
    _check_size(len(at), len(lines), node.line)
    value = node.value
    if isinstance(value, dict):
        found = {}
        for key, (line, item) in value.items():
            lines[(*at, key)] = line
            found[key] = _plain(item, (*at, key), lines)
        return found
    if isinstance(value, list):
        return [_plain(item, (*at, index), lines) for index, item in enumerate(value)]
    return value


def _check_size(depth: int, values: int, line: int) -> None:
    if depth > MAX_DEPTH:
        raise YamlProblem(line, f"more than {MAX_DEPTH} levels inside each other")
    if values > MAX_VALUES:
        raise YamlProblem(line, f"more than {MAX_VALUES:,} values, each use of an alias counted")


class _Builder:
    """Builds nodes from the parser's events; an alias is the same node at another place."""

    def __init__(self, text: str) -> None:
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=_PARSER)
        self.anchors: dict[str, Node | None] = {}
        self.values = 0

    def document(self) -> Node:
        """The whole text."""
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Node(1, None)
        root = self._node(next(self.events), ())
        next(self.events)  # the document's end
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise YamlProblem(_line(after), "a second document starts here: one file, one document")
        return root

    def _node(self, event: yaml.Event, at: KeyPath) -> Node:
        line = _line(event)
        self.values += 1
        _check_size(len(at), self.values, line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, at)
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag is not None:
            raise YamlProblem(line, f"tags such as {tag!r} are not read", at)
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, yaml.MappingStartEvent):
            node = Node(line, self._mapping(at))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(line, self._sequence(at))
        elif isinstance(event, yaml.ScalarEvent):
            node = Node(line, _scalar(event, at))
        else:
            raise YamlProblem(line, "not valid YAML: a value is missing", at)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, at: KeyPath) -> Node:
        name = event.anchor
        if name not in self.anchors:
            raise YamlProblem(_line(event), f"nothing above is marked &{name}", at)
        node = self.anchors[name]
        if node is None:
            raise YamlProblem(_line(event), f"*{name} stands inside of what it stands for", at)
        return node

    def _sequence(self, at: KeyPath) -> list[Node]:
        found: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            found.append(self._node(event, (*at, len(found))))
        return found

    def _mapping(self, at: KeyPath) -> dict[str, tuple[int, Node]]:
        found: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise YamlProblem(_line(event), "a key must be a word", at)
            key, line = _key(event, at), _line(event)
            if key in found or (key == "<<" and merged):
                raise YamlProblem(line, "stands twice", (*at, key))
            value = self._node(next(self.events), (*at, key))
            if key == "<<" and event.implicit[0]:
                merged = self._merged(value, line, at)
            else:
                found[key] = (line, value)
        return merged | found

    def _merged(self, value: Node, line: int, at: KeyPath) -> dict[str, tuple[int, Node]]:
        """What ``<<`` brings: the keys of a mapping, or of several, of which the first wins."""
        merged: dict[str, tuple[int, Node]] = {}
        for node in reversed(value.value) if isinstance(value.value, list) else [value]:
            if not isinstance(node.value, dict):
                raise YamlProblem(line, "takes keys of a section, as <<: *name", (*at, "<<"))
            self.values += len(node.value)
            _check_size(0, self.values, line)
            merged |= node.value
        return merged


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else int(event.start_mark.line) + 1


def _key(event: yaml.ScalarEvent, at: KeyPath) -> str:
    line = _line(event)
    if event.tag is not None or event.anchor is not None:
        raise YamlProblem(line, "a key must be a word", at)
    key = event.value
    if len(key) > MAX_KEY:
        raise YamlProblem(line, f"the key {key[:20]!r}… has more than {MAX_KEY} characters", at)
    if not isinstance(_scalar(event, at), str):
        raise YamlProblem(line, f"the key {key or 'null'} is no word: write it in quotes", at)
    return str(key)


def _scalar(event: yaml.ScalarEvent, at: KeyPath) -> Scalar:
    text, line = str(event.value), _line(event)
    if (unfit := _UNFIT.search(text)) is not None:
        raise YamlProblem(line, _unfit(unfit[0]), at)
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    try:
        return _number(text)
    except ValueError as error:
        raise YamlProblem(line, str(error), at) from None


def _number(text: str) -> int | float | str:
    """A number by YAML 1.2's core schema (08 is 8, 10:30 a word), or the text itself.

    Raises:
        ValueError: If it is a number that no setting can be.
    """
    if _OTHER_BASE.fullmatch(text) and len(text) <= 24:
        return int(text, 0)
    if _INT.fullmatch(text):
        if len(text.lstrip("+-0")) > 18:
            raise ValueError(f"the number {text[:20]}… has {len(text):,} digits, more than 18")
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"the number {text[:20]} is too large")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no finite number")
    return text


def _unfit(character: str) -> str:
    return f"the character U+{ord(character):04X} may not stand in settings"
