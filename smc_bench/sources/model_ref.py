"""How a suite names a model: an alias, a folder, or ``owner/name`` on the Hub."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smc_bench.errors import MissingDataError
from smc_bench.sources.packages import MODELS

ALIASES = MODELS
"""Short names of models that come from a package registry."""

# As huggingface_hub.utils.validate_repo_id has it (its import costs `plan` half a second): letters,
# digits, "_", "-" and ".", 96 at most, no "--" or "..", "-" and "." not at an end, no ".git".
_WORD = r"(?!\S*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_HUB_NAME = re.compile(rf"(?P<name>{_WORD}(/{_WORD})?)(@(?P<revision>\w[\w./-]*))?")
_HUB_LENGTH = 96


@dataclass(frozen=True)
class ModelRef:
    """How a suite names a model.

    Attributes:
        kind: Where it comes from.
        name: The alias, the folder's path, or ``owner/name`` on the Hub.
        revision: Branch, tag or commit on the Hub, where one was asked for.
    """

    kind: Literal["wheel", "path", "hub"]
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read an alias, an existing folder, or ``owner/name`` with an optional ``@revision``.

        Raises:
            MissingDataError: It is a path that is not there, or a misspelt alias.
        """
        text = text.strip()
        if text in ALIASES:
            return cls("wheel", text)
        folder = _expanded(text)
        if text and _is_folder(folder):
            return cls("path", str(folder.absolute()))
        hubs = _HUB_NAME.fullmatch(text)
        alias = _nearest(text.lower(), ALIASES)
        if hubs is None or alias or not _on_hub(hubs["name"]) or _exists(folder):
            raise MissingDataError(_unknown(text, folder, alias))
        return cls("hub", hubs["name"], hubs["revision"])

    def __str__(self) -> str:
        """Write the reference as :meth:`parse` reads it."""
        return f"{self.name}@{self.revision}" if self.revision else self.name


def located(text: str, folder: Path) -> str:
    """A model's name with its folder, if it is one, written out in full.

    Args:
        text: An alias, a folder, or a Hub repository.
        folder: What a relative path is relative to.

    Returns:
        The absolute path of a folder; other names as they are.

    Raises:
        MissingDataError: It is written as a path, and there is no such folder.
    """
    text = text.strip()
    if not text or text in ALIASES:
        return text
    path = folder / Path(text).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if text.startswith(("/", "~", "./", "../")) or text in (".", ".."):
        raise MissingDataError(_unknown(text, path, None) + f" Looked for {path}.")
    return text


def _nearest(word: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return near[0] if near else None


def _on_hub(name: str) -> bool:
    """Whether the Hub would take a name that has the right characters."""
    return len(name) <= _HUB_LENGTH and not name.endswith(".git")


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who has no home here
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or not to be a path at all
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _unknown(text: str, path: Path, alias: str | None) -> str:
    if text and _exists(path):
        return f"The model {text!r} is a file: give the folder that config.json and weights are in"
    siblings = [p.name for p in path.parent.iterdir()] if _is_folder(path.parent) else []
    sibling = _nearest(path.name, siblings)
    guess = alias or (str(path.with_name(sibling)) if sibling else None)
    hint = f" Did you mean {guess}?" if guess else ""
    shown = text if len(text) < 200 else f"{text[:200]}…"
    return (
        f"There is no model {shown!r}: not a folder, not an alias ({', '.join(ALIASES)}), and not "
        f"the name of a Hub repository (owner/name, owner/name@revision).{hint}"
    )
