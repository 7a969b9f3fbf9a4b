"""Bring finished cells of elsewhere into a results folder: checked, whole, and never over others.

A cell is made beside the others under a hidden name and appears by one rename, so that whoever is
interrupted, and whenever, leaves whole cells and no halves. The same sources give the same again.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from smc_bench.errors import FullDiskError, SmcBenchError, StoreError, disk_is_full, said
from smc_bench.store.files import create_json, sync_folder
from smc_bench.store.incoming import Checked, cells_of, checked, lack_of_weights
from smc_bench.store.measured import (
    MEASURED,
    packed_measured,
    read_measured,
    write_measured,
)
from smc_bench.store.packed import ENDING
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell

SCRATCH = ".merge-"
"""How the hidden folder begins that a merge works in; ``clean`` removes that of a killed one."""

What = Literal["added", "weights added", "there", "without weights", "conflict", "left out"]
Verify = Callable[[Store, Cell], None]
"""A further look at a cell before it appears, in a store that holds it alone; raises to refuse."""


@dataclass(frozen=True)
class Outcome:
    """What came of one finished cell of a source.

    Attributes:
        cell: Its id, as its name says.
        what: ``added``; ``weights added`` to a record; ``there`` before, with the same metrics;
            ``without weights``, though they were asked for; ``conflict`` (there with other metrics,
            which stay); or ``left out``.
        why: In words, where there is something to say.
        source: Where it lies.
        hashed: Whether the record has a hash of itself; older ones are believed where nothing
            contradicts them. False where it could not be read.
    """

    cell: str
    what: What
    why: str
    source: str
    hashed: bool = False

    @property
    def whole(self) -> bool:
        """Whether the results now have all that was asked for of this cell."""
        return self.what in ("added", "weights added", "there")


def merge(
    store: Store,
    source: Path,
    *,
    weights: bool = False,
    dense: bool = True,
    verify: Verify | None = None,
    durable: bool = True,
) -> Iterator[Outcome]:
    """Bring in the finished cells of a source, one at a time.

    Args:
        store: Results; what is there stays as it is.
        source: A results folder, a folder of small records, or a tar of one.
        weights: Bring weights too.
        dense: Bring dense cells too, which as teachers are nothing without weights.
        verify: A further look at each cell.
        durable: Flush each cell to the disk before it appears.

    Yields:
        What came of each, as soon as it is on the disk.

    Raises:
        StoreError: The source is none of these, is a tar that is not safe to unpack, or the results
            can't be written (FullDiskError: for want of room); what was brought in before stays.
    """
    brought = 0
    try:
        for outcome in _outcomes(store, source, _Options(weights, dense, verify, durable)):
            brought += outcome.what in ("added", "weights added")
            yield outcome
    except OSError as error:
        full = disk_is_full(error)
        kind, help_ = (FullDiskError, "make room and ") if full else (StoreError, "")
        raise kind(
            f"{store.root}: can't be written: {said(error) if not full else error.strerror} "
            f"(merging {source}); what was brought in before stays (cells: {brought}); {help_}"
            "run the same again, and it goes on from there"
        ) from error


def _outcomes(store: Store, source: Path, options: _Options) -> Iterator[Outcome]:
    if not source.exists():  # before anything is made for it
        raise StoreError(f"{source}: there is no such folder or tar")
    known = {path.name[-12:]: CellFolder(path) for path in store.cells.glob("*/[!.]*")}
    with _scratch(store.root) as scratch:
        unpacked = scratch / "tar"
        unpacked.mkdir()
        for item in cells_of(source, unpacked, weights=options.weights):
            cell, hashed = item.name[-12:], False
            try:
                found = checked(item)
                hashed = bool(found.record.record_sha256)
                if not options.dense and found.cell.recipe.sparsity_schedule is None:
                    continue
                # The same cell may lie here under another name of its model.
                folder = known.get(found.cell.id) or store.folder(found.cell.folder)
                what, why = _bring(folder, found, scratch, options)
            except SmcBenchError as error:
                # What was unpacked, or is being written, is nowhere to be looked at afterwards.
                what, why = "left out", str(error).replace(f"{scratch}/", "")
            else:
                why = why or found.damage
            yield Outcome(cell, what, why, item.shown, hashed)


@dataclass(frozen=True)
class _Options:
    weights: bool
    dense: bool
    verify: Verify | None
    durable: bool


def _bring(
    folder: CellFolder, found: Checked, scratch: Path, options: _Options
) -> tuple[What, str]:
    lack = lack_of_weights(found) if options.weights else ""
    options = replace(options, weights=options.weights and not lack)
    what, why = _put(folder, found, Store(scratch), options)
    if lack and what in ("added", "there"):
        return (what, why) if (folder.path / "weights").exists() else ("without weights", lack)
    return what, why


def _put(folder: CellFolder, found: Checked, scratch: Store, options: _Options) -> tuple[What, str]:
    whole = scratch.folder(found.cell.folder).path
    there = folder.record()
    if there is not None:
        what, why = compared(there, found.record)
        if what == "there":
            _put_times(folder, there, found)
        if options.weights and what == "there" and not (folder.path / "weights").exists():
            return _put_weights(folder, there, found, scratch.root / "weights")
        return what, why
    try:
        _write(found, whole, weights=options.weights)
        if options.verify is not None:
            options.verify(scratch, found.cell)
        if options.durable:
            sync_folder(whole)
        return _into_place(folder, whole, found.record)
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _put_times(folder: CellFolder, there: Record, found: Checked) -> None:
    """Add times of the same weights that were taken elsewhere; those that are there stay."""
    if found.measured is None or there.weights_sha256 != found.record.weights_sha256:
        return
    own = read_measured(folder.path, there.cell_id, there.weights_sha256)
    joined = found.measured if own is None else own.joined(found.measured)
    if joined != own:
        write_measured(folder.path, joined)


def compared(there: Record, other: Record) -> tuple[What, str]:
    """What a record that is there means for another of the same cell, and why in words."""
    if there.metrics != other.metrics:
        return "conflict", f"{_shown(there)} is there and stays, {_shown(other)} is not brought in"
    if there.weights_sha256 != other.weights_sha256:
        return "there", "with the same metrics and other weights, which stay"
    return "there", ""


def _shown(record: Record) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in sorted(record.metrics.items()))


def _write(found: Checked, folder: Path, *, weights: bool) -> None:
    """A finished cell's folder; it counts for nothing before it has its name."""
    folder.mkdir(parents=True)
    _json(folder / "cell.json", found.content["record"]["cell"])
    for name in ("predictions", "layers"):
        if name in found.content:
            text = json.dumps(found.content[name]).encode()
            (folder / f"{name}{ENDING}").write_bytes(gzip.compress(text, mtime=0))
    if found.curve:
        lines = [json.dumps(line) for line in found.curve]
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if weights:
        _copy_weights(found, folder / "weights")
    if found.measured is not None:
        _json(folder / MEASURED, packed_measured(found.measured))
    _json(folder / "record.json", found.content["record"])


def _json(path: Path, content: Any) -> None:
    """As :func:`smc_bench.store.files.write_json` writes it; flushed with its folder."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _copy_weights(found: Checked, target: Path) -> None:
    assert found.weights is not None
    target.mkdir()
    for path in sorted(found.weights.iterdir()):
        if path.is_file():
            shutil.copyfile(path, target / path.name)


def _put_weights(folder: CellFolder, there: Record, found: Checked, copy: Path) -> tuple[What, str]:
    if there.weights_sha256 != found.record.weights_sha256:
        return "without weights", "the record that is there was evaluated with other weights"
    try:
        _copy_weights(found, copy)
        sync_folder(copy)
        copy.rename(folder.path / "weights")
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return "weights added", ""


def _into_place(folder: CellFolder, whole: Path, record: Record) -> tuple[What, str]:
    """Give a written cell its name; where an attempt has begun it here, take the next attempt."""
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    if not folder.path.exists():
        try:
            whole.rename(folder.path)
        except OSError:
            if not folder.path.exists():
                raise
        else:
            return "added", ""
    attempt = folder.claim()
    if attempt is None:
        there = folder.record()  # of a worker or another merge that was a moment faster
        return ("left out", "is being run here") if there is None else compared(there, record)
    content = json.loads((whole / "record.json").read_text(encoding="utf-8"))
    done = False
    try:
        for path in sorted(whole.iterdir()):
            target = folder.path / path.name
            if target.is_dir():
                shutil.rmtree(target)
            if path.name != "record.json":
                path.replace(target)
        done = create_json(folder.path / "record.json", content)
    finally:
        folder.end_attempt(attempt, "merged" if done else "interrupted")
    return ("added", "") if done else ("left out", "was finished here meanwhile")


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A hidden folder beside the cells, on the same file system."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root))
    except OSError as error:
        kind = FullDiskError if disk_is_full(error) else StoreError
        raise kind(f"{root}: can't be written: {error.strerror or error}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
