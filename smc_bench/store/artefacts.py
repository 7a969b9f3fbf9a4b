"""What cells share: folders named by what they were made from, made once, checked when used.

``RESULTS/artefacts/<kind>/<hash>/`` holds files and ``made.json``: what the content was made from,
and the SHA-256 of each file. Tokenised splits and teachers' logits are kept so. Nothing here is a
result: a folder may be removed at any time and is then made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from smc_bench.errors import StoreError
from smc_bench.store.files import create_json, read_json, remove_folder, sync_folder, write_json
from smc_bench.store.holder import holder
from smc_bench.store.lease import HEARTBEAT_SECONDS, lease_held

MADE = "made.json"
_TRIES = 3


class Artefacts:
    """The artefacts of one results folder."""

    def __init__(self, root: Path) -> None:
        """Nothing is made before it is asked for."""
        self.root = root / "artefacts"
        self._checked: set[Path] = set()

    def path(self, kind: str, key: dict[str, Any]) -> Path:
        """Where the artefact of this kind and content is, or would be."""
        text = json.dumps(key, sort_keys=True, separators=(",", ":"))
        return self.root / kind / hashlib.sha256(text.encode()).hexdigest()[:16]

    def get(
        self,
        kind: str,
        key: dict[str, Any],
        make: Callable[[Path], None],
        pause: Callable[[], None],
    ) -> Path:
        """The artefact's folder; made now if it is not there, by one process at a time.

        Args:
            kind: What sort of thing it is, a folder's name.
            key: Everything that its content follows from, as JSON.
            make: Writes files into an empty folder.
            pause: Called while another process makes it; waits a moment, or raises to stop.

        Raises:
            OSError: If the disk is full or the folder can't be written.
            StoreError: If what was written does not stay as it was written.
        """
        final = self.path(kind, key)
        claim = final.with_name(f".{final.name}.claim")
        made = 0
        while not self._whole(final, key):
            if made == _TRIES:
                raise StoreError(f"{final}: was made {made} times, and each time read back changed")
            if create_json(claim, holder()):
                with _held(claim):
                    if not self._whole(final, key):  # its maker may have finished just before
                        _make(final, key, make)
                        made += 1
            elif lease_held(claim):
                pause()
            else:
                # Two that see this may both make it: the first to finish names it.
                claim.unlink(missing_ok=True)
        return final

    def _whole(self, final: Path, key: dict[str, Any]) -> bool:
        """Whether it is there, with the bytes that were written; a damaged one is removed."""
        if final in self._checked and final.exists():
            return True
        if not final.exists():
            return False
        if not _as_made(final, key):
            if final.is_dir():
                remove_folder(final)
            else:
                final.unlink(missing_ok=True)
            return False
        self._checked.add(final)
        return True


def _as_made(folder: Path, key: dict[str, Any]) -> bool:
    """Whether a folder has a whole ``made.json`` for this key, and the files that it names."""
    try:
        made = read_json(folder / MADE)
    except StoreError:
        return False
    files = made.get("files") if isinstance(made, dict) else None
    if not isinstance(files, dict) or not files or made.get("key") != json.loads(json.dumps(key)):
        return False
    return all(_sha256(folder / name) == digest for name, digest in files.items())


def _make(final: Path, key: dict[str, Any], make: Callable[[Path], None]) -> None:
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(8)}")
    temporary.mkdir(parents=True)
    try:
        make(temporary)
        files = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / MADE, {"key": key, "files": files})
        sync_folder(temporary)
        with suppress(OSError):  # it is there by now, made from the same
            temporary.rename(final)
        if not final.exists():
            raise StoreError(f"{final}: could not be put into place")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _held(claim: Path) -> Iterator[None]:
    """Keep a claim alive while the artefact is made."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(claim)

    threading.Thread(target=beat, daemon=True, name="artefact").start()
    try:
        yield
    finally:
        over.set()
        claim.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""
