"""Cell folders: states, attempts (leases taken by exclusive create), checkpoints, records."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from smc_bench.errors import StoreError
from smc_bench.store import checkpoints
from smc_bench.store.attempts import Attempts
from smc_bench.store.digest import curve_sha256, sealed
from smc_bench.store.files import (
    content_sha256,
    create_json,
    read_json,
    sync_folder,
    write_bytes,
    write_json,
)
from smc_bench.store.holder import holder
from smc_bench.store.measured import MEASURED
from smc_bench.store.packed import ENDING, read_gzip, read_lines
from smc_bench.store.reading import parse_record
from smc_bench.store.record import Failure, Record

SHARES = "shares.json"
"""In the folder of a cell that shares the steps before its first pruning event with others."""


State = Literal["done", "damaged", "running", "failed", "interrupted", "missing"]


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Look(NamedTuple):
    """How a cell stands.

    Attributes:
        state: In a word.
        record: That of a cell that is done.
        damage: What is wrong with that of a damaged one, for people.
    """

    state: State
    record: Record | None = None
    damage: str = ""


class CellFolder(Attempts):
    """The folder of one cell."""

    @property
    def relative(self) -> str:
        """The folder below ``cells/``, as ``Cell.folder`` has it."""
        return f"{self.path.parent.name}/{self.path.name}"

    def create(self, cell: dict[str, Any]) -> None:
        """Make the folder and write the cell's settings, unless they are there as they should."""
        path = self.path / "cell.json"
        try:
            there = read_json(path)
        except StoreError:
            there = None
        if there != cell:
            write_json(path, cell)

    def note_sharing(self, spared: int | None) -> None:
        """Note whether other cells of this run begin like this one (None: they don't)."""
        if spared is None:
            (self.path / SHARES).unlink(missing_ok=True)
        else:
            write_json(self.path / SHARES, {"spared_steps": spared})

    def record(self) -> Record | None:
        """The record, whose presence is completion.

        Raises:
            StoreError: If the file is there but is not this cell's record, see
                :func:`smc_bench.store.reading.parse_record`.
        """
        path = self.path / "record.json"
        content = read_json(path)
        if content is None and path.exists():  # it has come meanwhile, or holds the word null
            content = read_json(path) or {}
        return None if content is None else parse_record(content, path)

    def damage(self) -> str:
        """What is wrong with the record, for people; empty where it is good, or not there."""
        try:
            self.record()
        except StoreError as error:
            return str(error)
        return ""

    def failure(self) -> Failure | None:
        """Why the last attempt failed, if it did; a file that can't be read is such a reason."""
        path = self.path / "failure.json"
        try:
            content = read_json(path)
            return None if content is None else Failure.model_validate(content)
        except (StoreError, ValidationError):
            message = f"{path}: can't be read, so why the cell failed is not known"
            return Failure(type="killed", message=message, attempt=0, time=now())

    def state(self) -> State:
        """Done, running, failed, interrupted (an attempt died or was stopped) or missing.

        Damaged is a cell with a record that can't be believed: it counts as not there in tables,
        but nothing overwrites it unasked.
        """
        return self.look().state

    def look(self) -> Look:
        """The state, and the record that it was told by: read and checked once."""
        if self._is_done():
            try:
                return Look("done", self.record())
            except StoreError as error:
                return Look("damaged", damage=str(error))
        attempt = self.latest_attempt()
        if attempt is not None and self.alive(attempt):
            return Look("running")
        if (self.path / "failure.json").exists():
            return Look("failed")
        return Look("missing" if attempt is None else "interrupted")

    def claim(self) -> int | None:
        """Take the next attempt's number, or None if the cell is done or someone has it."""
        # The newest attempt is looked up once: two claims that saw the same one want the same
        # number, and only one can create it.
        newest = self.latest_attempt()
        if self._is_done() or (newest is not None and self.alive(newest)):
            return None
        attempt = (newest or 0) + 1
        path = self.attempt_file(attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not create_json(path, {**holder(), "started": now()}):
            return None
        if self._is_done():
            self.end_attempt(attempt, "already done")
            return None
        (self.path / "failure.json").unlink(missing_ok=True)
        return attempt

    def _is_done(self) -> bool:
        return (self.path / "record.json").exists()

    def end_attempt(self, attempt: int, how: str) -> None:
        """Note that an attempt has ended, and up to which step its work is saved."""
        lease = self.lease(attempt)
        newest = self.newest_checkpoint()
        step = None if newest is None else checkpoints.step_of(newest)
        ended = {"ended": now(), "how": how, "step": step}
        write_json(self.attempt_file(attempt), {**lease, **ended})

    def newest_checkpoint(self, attempt: int | None = None) -> Path | None:
        """The complete checkpoint with the most steps, of any attempt.

        With ``attempt`` it is first linked into that attempt's own folder, where an older attempt
        that still runs beside it (its node was given up too early) can't remove it.
        """
        return checkpoints.newest(self.path / "checkpoints", attempt)

    def commit_checkpoint(self, temporary: Path) -> None:
        """Rename a written checkpoint to its final name, then drop those that it replaces."""
        checkpoints.commit(self.path / "checkpoints", temporary)

    def discard_unfinished(self, attempt: int) -> None:
        """Remove what an attempt had begun to write; its complete checkpoints stay."""
        begun = [self.path / "partial" / f"{attempt:03d}"]
        begun += (self.path / "checkpoints" / f"{attempt:03d}").glob(".*")
        for folder in begun:
            shutil.rmtree(folder, ignore_errors=True)

    def write_failure(self, failure: Failure) -> None:
        """Leave word of why an attempt failed."""
        write_json(self.path / "failure.json", failure.model_dump())

    def finish(self, record: Record, splits: dict[str, Any], artifacts: Path) -> None:
        """Move artefacts into place and write the record, last.

        Raises:
            StoreError: If a newer attempt has taken over in the meantime.
        """
        self._check_not_overtaken(record.attempt)
        predictions = self.path / "predictions.json.gz"
        temporary = predictions.with_name(f".{predictions.name}.tmp")
        temporary.write_bytes(gzip.compress(json.dumps(splits).encode(), mtime=0))
        temporary.replace(predictions)
        sync_folder(artifacts)
        for item in artifacts.iterdir():
            self._check_not_overtaken(record.attempt)
            target = self.path / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
        (self.path / MEASURED).unlink(missing_ok=True)  # of weights that these have replaced
        layers = self.path / f"layers{ENDING}"
        hashes = {
            "predictions_sha256": content_sha256(splits),
            "layers_sha256": content_sha256(read_gzip(layers)) if layers.exists() else "",
            "curve_sha256": curve_sha256(self._settled_curve()),
        }
        known = sealed({**record.model_dump(), **hashes})
        if not create_json(self.path / "record.json", known):
            raise StoreError(f"{self.path}: another attempt has finished this cell")
        for leftover in ("checkpoints", "partial"):
            shutil.rmtree(self.path / leftover, ignore_errors=True)

    def _settled_curve(self) -> list[dict[str, Any]]:
        """The curve of training, in a file of its own on the disk.

        A worker that was given up and lives on would still append to the one that it has open.
        """
        path = self.path / "train.jsonl"
        if path.exists():
            write_bytes(path, path.read_bytes())
        return read_lines(path)

    def _check_not_overtaken(self, attempt: int) -> None:
        if not self.is_current(attempt) or self._is_done():
            raise StoreError(f"{self.path}: a newer attempt has taken this cell over")


class Store:
    """All cells below one results folder."""

    def __init__(self, root: Path) -> None:
        """Nothing is made before the first write."""
        self.root = root
        self.cells = root / "cells"

    @property
    def roots(self) -> tuple[Path, ...]:
        """The results folders that are read: this one."""
        return (self.root,)

    def folder(self, relative: str) -> CellFolder:
        """The folder of a cell, by ``Cell.folder``."""
        return CellFolder(self.cells / relative)

    def matching(self, cell_id: str) -> list[CellFolder]:
        """The folders of all cells whose id starts with ``cell_id``."""
        if not re.fullmatch(r"[0-9a-f]{1,12}", cell_id):  # anything else could be a pattern
            return []
        return [CellFolder(path) for path in sorted(self.cells.glob(f"*/*-{cell_id}*"))]

    def by_id(self, cell_id: str) -> CellFolder | None:
        """The folder of the only cell whose id starts with ``cell_id``."""
        found = self.matching(cell_id)
        return found[0] if len(found) == 1 else None

    def check_writable(self) -> None:
        """Fail early where results could not be kept.

        Raises:
            StoreError: If the folder can't be written.
        """
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            probe = self.cells / f".probe-{secrets.token_hex(8)}"
            try:
                once = create_json(probe, {}) and not create_json(probe, {})
                os.utime(probe)  # the heartbeat
            finally:
                probe.unlink(missing_ok=True)
            if not once:
                raise OSError(errno.ENOTSUP, "two writers get the same name")
        except OSError as error:
            raise StoreError(
                f"{self.cells}: results can't be written there ({error.strerror}); "
                "give another folder with --results"
            ) from None
