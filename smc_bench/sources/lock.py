"""The lock: which commit each Hub repository was at when it was first fetched."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from smc_bench.errors import StoreError
from smc_bench.sources._files import keys_once, replacing

LockKind = Literal["data", "model"]
Key: TypeAlias = tuple[LockKind, str]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REMEDY = "Mend it by hand, or move it away and run `smc-bench fetch` again"


@dataclass
class Lock:
    """Commits by kind and name, kept in a JSON file that people may read and edit.

    Attributes:
        path: The file; it need not exist.
        entries: ``("data", "nyu-mll/glue")`` or ``("model", "FacebookAI/roberta-large")`` → commit.
            A model asked for at a named revision has it in its name (``owner/name@revision``).
    """

    path: Path
    entries: dict[Key, str] = field(default_factory=dict)
    _own: dict[Key, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path) -> Lock:
        """Read a lock; a file that is not there is an empty lock.

        Raises:
            StoreError: The file can't be read or is no lock; names the line.
        """
        return cls(path, _read(path))

    def get(self, kind: LockKind, name: str) -> str | None:
        """Return the commit that ``name`` is locked to, if it is."""
        return self.entries.get((kind, name))

    def record(self, kind: LockKind, name: str, commit: str) -> None:
        """Lock ``name`` to ``commit``, in memory and in the file.

        Raises:
            StoreError: The file can't be written, or ``commit`` is not a full commit.
        """
        if not _COMMIT.fullmatch(commit):
            raise StoreError(f"{kind} {name}: {commit!r} is not a commit of 40 hex digits")
        if self.entries.get((kind, name)) == commit and self.path.is_file():
            return
        self.entries[kind, name] = self._own[kind, name] = commit
        self.save()

    def save(self) -> None:
        """Write the file in one step, keeping what other processes have added since it was read.

        Raises:
            StoreError: The file can't be written, or has been damaged meanwhile.
        """
        self.entries = {**self.entries, **_read(self.path), **self._own}
        content = {
            kind: {n: c for (k, n), c in sorted(self.entries.items()) if k == kind}
            for kind in get_args(LockKind)
        }
        try:
            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise StoreError(f"The lock {self.path} can't be written: {error.strerror}") from error


def _read(path: Path) -> dict[Key, str]:
    try:
        text = path.read_text("utf-8")
        content = json.loads(text, object_pairs_hook=keys_once)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"The lock {path} can't be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise StoreError(
            f"{path}:{error.lineno}: not valid JSON: {error.msg}. {_REMEDY}"
        ) from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}:1: not UTF-8 text: {error.reason}. {_REMEDY}") from error
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits, 2,000 levels
        raise StoreError(f"{path}:1: not valid JSON: {error}. {_REMEDY}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path}:1: a lock is a JSON object. {_REMEDY}")
    entries: dict[Key, str] = {}
    for kind, names in content.items():
        _check(kind in get_args(LockKind), path, text, kind, 'only "data" and "model" are known')
        _check(isinstance(names, dict), path, text, kind, "must map names to commits")
        for name, commit in names.items():
            good = isinstance(commit, str) and _COMMIT.fullmatch(commit) is not None
            _check(good, path, text, name, f"{commit!r} is not a commit of 40 hex digits")
            entries[cast(LockKind, kind), name] = commit
    return entries


def _check(good: bool, path: Path, text: str, key: str, wrong: str) -> None:
    if good:
        return
    quoted = json.dumps(key)
    line = next((n for n, row in enumerate(text.splitlines(), 1) if quoted in row), 1)
    raise StoreError(f"{path}:{line}: {quoted}: {wrong}. {_REMEDY}")
