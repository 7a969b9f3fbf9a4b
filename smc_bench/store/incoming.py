"""Finished cells of elsewhere: a results folder, small records, or a tar of either.

Nothing is believed that is read here: :func:`checked` says whether a cell is what it says it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_bench.errors import DamagedError, SmcBenchError, StoreError
from smc_bench.names import below
from smc_bench.store.consistent import inconsistency
from smc_bench.store.digest import curve_sha256
from smc_bench.store.files import content_sha256, read_json
from smc_bench.store.measured import MEASURED, Measured, checked_measured, packed_measured
from smc_bench.store.packed import ENDING, is_point, read_gzip, read_lines
from smc_bench.store.reading import check_weights, parse_cell, parse_record
from smc_bench.store.record import Record
from smc_bench.store.tars import CELL, unpack
from smc_bench.suite.cell import Cell

_KEPT = ("record", "predictions", "layers", "measured")


@dataclass(frozen=True)
class Incoming:
    """A finished cell as it lies elsewhere.

    Attributes:
        path: Its folder, or its file of small records.
        shown: What people know it by: of a tar the member, not the copy.
    """

    path: Path
    shown: str

    @property
    def name(self) -> str:
        """``<slug>-<cell id>``."""
        return self.path.name.removesuffix(ENDING)


@dataclass(frozen=True)
class Checked:
    """A finished cell that is what it says it is.

    Attributes:
        cell: Its settings.
        record: What was measured.
        content: ``record``, and ``predictions`` and ``layers`` where there are any, as JSON.
        curve: Lines of ``train.jsonl``.
        measured: Sizes and times (``smc-bench measure``), where there are any.
        damage: Why those that are there are not used.
        weights: The folder with its weights, where there is one; not checked yet.
    """

    cell: Cell
    record: Record
    content: dict[str, Any]
    curve: list[dict[str, Any]]
    weights: Path | None
    measured: Measured | None = None
    damage: str = ""

    def small(self) -> dict[str, Any]:
        """What a small record holds of it, but for the curve."""
        times = {} if self.measured is None else {"measured": packed_measured(self.measured)}
        return {**self.content, **times}


def cells_of(source: Path, scratch: Path, *, weights: bool = False) -> list[Incoming]:
    """The finished cells of a source, in the order of their names.

    Args:
        source: A results folder, a folder of small records, or a tar of one.
        scratch: An empty folder; what is wanted of a tar is unpacked there.
        weights: Whether weights are wanted.

    Raises:
        StoreError: It is none of these, can't be read, or is a tar that is not safe to unpack.
        OSError: There is no room in ``scratch``.
    """
    if source.is_dir():
        found = list(_of_folder(source))
    elif source.is_file():
        unpack(source, scratch, weights=weights)
        found = [
            Incoming(item.path, f"{source}: {item.path.parent.name}/{item.path.name}")
            for folder in sorted(scratch.iterdir())
            for item in _of_folder(folder)
        ]
    else:
        raise StoreError(f"{source}: there is no such folder or tar")
    if not found and not (source / "cells").is_dir():
        raise StoreError(
            f"{source}: holds no finished cell: give a results folder (with cells/ in it), a "
            "folder of small records, or a tar of one"
        )
    return found


def _of_folder(root: Path) -> Iterator[Incoming]:
    root = root / "cells" if (root / "cells").is_dir() else root
    for path in sorted(root.glob("*/*")):
        done = path.name.endswith(ENDING) or (path / "record.json").exists()
        if done and CELL.fullmatch(path.name.removesuffix(ENDING)):
            yield Incoming(path, str(path))


def checked(item: Incoming) -> Checked:
    """A cell whose record, id and results by example belong together.

    Raises:
        StoreError: They do not; says what is wrong.
    """
    if item.path.is_dir():
        content, curve = _from_folder(item.path)
        file, weights = item.path / "record.json", item.path / "weights"
    else:
        content, curve = _from_packed(item.path)
        file, weights = item.path, item.path
    record = parse_record(content["record"], file, item.name)
    cell = parse_cell(content["record"]["cell"], file)
    if cell is None:
        raise StoreError(f"{file}: of an old version, whose id can't be made any more to check it")
    try:
        below(Path(), *cell.folder.split("/"))
    except SmcBenchError as error:
        raise StoreError(f"{file}: names no folder for its cell: {error}") from None
    _check_hashes(record, content, curve, item)
    if "layers" in content and not _are_layers(content["layers"]):
        raise StoreError(f"{item.shown}: its weights by tensor (layers) are not such counts")
    wrong = inconsistency(cell, record, content.get("layers"), curve)
    if wrong:
        raise StoreError(f"{item.shown}: changed after it finished: {wrong}")
    measured, damage = _measured(content.pop("measured", None), record, item)
    kept = weights if weights.is_dir() else None
    return Checked(cell, record, content, curve, kept, measured, damage)


def _measured(content: Any, record: Record, item: Incoming) -> tuple[Measured | None, str]:
    """What was measured, and why it is not used: that is no reason to lose the cell itself."""
    if content is None:
        return None, ""
    path = item.path / MEASURED if item.path.is_dir() else item.path
    try:
        return checked_measured(content, path, record.cell_id, record.weights_sha256), ""
    except SmcBenchError as error:
        return None, str(error)


def lack_of_weights(found: Checked) -> str:
    """Why its weights can't be brought; empty where they are those of the record."""
    if found.weights is None:
        return "its weights are not there"
    try:
        check_weights(found.weights, found.record)
    except DamagedError as error:
        return str(error)
    return ""


def _from_folder(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    content = {"record": read_json(folder / "record.json")}
    for name in ("predictions", "layers"):
        path = folder / f"{name}{ENDING}"
        if path.exists():
            content[name] = read_gzip(path)
    if (folder / MEASURED).exists():
        with suppress(StoreError):  # no JSON: the cell itself is whole
            content["measured"] = read_json(folder / MEASURED)
    return content, read_lines(folder / "train.jsonl")


def _from_packed(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    content = read_gzip(path)
    curve = content.pop("curve", []) if isinstance(content, dict) else None
    if not isinstance(curve, list) or "record" not in content or not all(map(is_point, curve)):
        raise StoreError(f"{path}: not a small record (a record and a curve)")
    known = {key: content[key] for key in _KEPT if key in content}
    return known, [{"phase": "train", **point} for point in curve]


def _check_hashes(
    record: Record, content: dict[str, Any], curve: list[dict[str, Any]], item: Incoming
) -> None:
    """Against the hashes that the record has of its companions; records of before have none."""
    beside = {
        "results by example (predictions)": (record.predictions_sha256, content.get("predictions")),
        "weights by tensor (layers)": (record.layers_sha256, content.get("layers")),
    }
    for what, (written, found) in beside.items():
        if written and found is None:
            raise StoreError(f"{item.shown}: its {what} are gone")
        hashed = bool(written or record.record_sha256)
        if found is not None and hashed and content_sha256(found) != written:
            raise StoreError(f"{item.shown}: its {what} were changed after it finished")
    if record.record_sha256 and curve_sha256(curve) != record.curve_sha256:
        raise StoreError(f"{item.shown}: its curve of training was changed after it finished")


def _are_layers(layers: Any) -> bool:
    """Whether of each tensor no more than all weights are left at each event."""
    try:
        totals = layers["tensors"]
        return all(type(total) is int for total in totals.values()) and all(
            type(left) is int and 0 <= left <= totals[name]
            for event in layers["events"]
            for name, left in event["left"].items()
        )
    except (LookupError, TypeError, AttributeError):
        return False
