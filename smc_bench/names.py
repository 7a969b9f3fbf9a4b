r"""Rules for the names that people give: what is text to show, and what becomes part of a path.

Two kinds. A *label* (an arm, a title) is only ever shown: any writing, ``T = 5.5``, ``50 %`` and
``$\alpha$`` included, as each output escapes it (:mod:`smc_bench.report.escape`). A *path name* (a
suite, profile, recipe or task) also becomes a file or folder, so it is one that every file system
takes. Both hold only what a reader can see: no control characters, no marks that turn the direction
of writing, nothing invisible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from smc_bench.errors import SmcBenchError

LABEL_BYTES = 200
PATH_BYTES = 100
"""Most UTF-8 bytes of a name; most file systems stop at 255 for a name and all its endings."""

_SIGNS = " _-+.=,@%()"
_SIGNS_IN_WORDS = "letters, digits, spaces and _ - + . = , @ % ( )"
# Names that Windows keeps for devices, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_HIDDEN = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "half of a character (a lone surrogate)",
    "Co": "a character of private use",
    "Cn": "a character that Unicode does not know",
    "Zl": "a line break",
    "Zp": "a line break",
}
# Letters and marks that are drawn as nothing (Unicode's Default_Ignorable_Code_Point, those that
# are not of category Cf), and the blank Braille pattern.
_BLANK = frozenset(map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)))
_BLANK_RANGES = ((0x180B, 0x180F), (0xFE00, 0xFE0D), (0xE0100, 0xE01EF))
# Emoji are often followed by one of these, which say "drawn as text" and "drawn as a picture".
_PRESENTATION = "\ufe0e\ufe0f"


def label_problem(name: str, *, most: int | None = LABEL_BYTES) -> str | None:
    """Why a text can't be the name of something that is only shown; None if it can."""
    if not name.strip():
        return "a name needs at least one character that can be seen"
    problem = prose_problem(name, lines=False)
    if problem:
        return problem
    if name != name.strip():
        return "a name must not begin or end with a space"
    if unicodedata.category(name[0])[0] == "M":
        return f"begins with {_shown(name[0])}, a mark that needs a letter before it"
    size = len(name.encode())
    if most is not None and size > most:
        return f"is too long: {size} bytes in UTF-8, and {most} are allowed"
    if ".." in re.split(r"[/\\]", name):
        return "looks like a path: '..' would leave a folder"
    return None


def path_problem(name: str) -> str | None:
    """Why a text can't become the name of a file or folder; None if it can."""
    problem = label_problem(name, most=PATH_BYTES)
    if problem:
        return problem
    if name[0] in ".-":
        return f"becomes a file or folder: it must not begin with {name[0]!r}"
    if name[-1] == ".":
        return "becomes a file or folder: it must not end with '.'"
    for character in name:
        if not (character in _SIGNS or unicodedata.category(character)[0] in "LNM"):
            found = _shown(character)
            return f"becomes a file or folder: use {_SIGNS_IN_WORDS}, not {found}"
    if _DEVICES.fullmatch(name):
        return "becomes a file or folder: Windows keeps this name for a device"
    return None


def prose_problem(text: str, *, lines: bool = True) -> str | None:
    """What in a text can't be shown as it is; None if all of it can.

    Args:
        text: A title, note or name.
        lines: Whether it may have several lines, and tabs.
    """
    for character in text:
        if lines and character in "\n\t":
            continue
        kind = _HIDDEN.get(unicodedata.category(character))
        if kind is None and _is_blank(character):
            kind = "an invisible character"
        if kind is not None:
            return f"holds {kind}: {_shown(character)}"
    return None


def alike(name: str) -> str:
    """A key that two names share if a reader, or a file system that ignores case, mixes them up."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    folded = "".join(c for c in folded if c not in _PRESENTATION)
    # Once more: folding can undo a composition (U+0130), and NFKC makes new spaces (U+00A0).
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two of these names that :func:`alike` can't tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(alike(name), name)
        if other != name:
            return other, name
    return None


def below(root: Path, *names: str) -> Path:
    """A path below a folder, made of names. Never outside of it.

    Raises:
        SmcBenchError: If a name can't be that of a file or folder.
    """
    for name in names:
        problem = path_problem(name)
        if problem:
            raise SmcBenchError(f"{visible(name)!r}: {problem}")
    return root.joinpath(*names)


def visible(text: str, *, keep: str = "\n\t") -> str:
    r"""A text for a terminal or a log: control and direction characters are spelled (``\x1b``).

    Args:
        text: Anything: a name, a file's content, somebody's error message.
        keep: Control characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _commands(c) else _spelled(c) for c in text)


def _commands(character: str) -> bool:
    """Whether a terminal may take a character for a command, or show what follows elsewhere."""
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (
        kind == "Cf" and unicodedata.bidirectional(character) in _DIRECTIONS
    )


_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "L", "R", "AL"}


def _is_blank(character: str) -> bool:
    code = ord(character)
    return character in _BLANK or any(low <= code <= high for low, high in _BLANK_RANGES)


def _shown(character: str) -> str:
    called = unicodedata.name(character, "")
    code = f"U+{ord(character):04X}"
    return f"{code} ({called})" if called else code


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
