"""Reading records: nothing is believed that a damaged, foreign or newer file says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from smc_bench.engine.schedules.kinds import STORED
from smc_bench.errors import DamagedError, StoreError
from smc_bench.store.digest import record_sha256
from smc_bench.store.record import SCHEMA_VERSION, Record
from smc_bench.suite.cell import IDENTITY_VERSION, Cell

WEIGHTS = "model.safetensors"
_AGAIN = "move it away to run the cell again (or run with --force)"


def parse_record(content: Any, path: Path, name: str | None = None) -> Record:
    """A record, if it is whole, of a known version, in range, and of the cell of its folder.

    Args:
        content: What the file holds.
        path: The file, ``<slug>-<cell id>/record.json``.
        name: ``<slug>-<cell id>``, where the file itself is named so.

    Raises:
        StoreError: It is not; names the file, what is wrong, and what to do.
    """
    if not isinstance(content, dict):
        raise StoreError(f"{path}: not a record: {type(content).__name__} at the top; {_AGAIN}")
    _check_version(content.get("schema_version"), SCHEMA_VERSION, "schema_version", path)
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        raise StoreError(f"{path}: not a valid record: {_first(error)}; {_AGAIN}") from None
    expected = {"its folder": (name or path.parent.name).rpartition("-")[2]}
    cell = parse_cell(record.cell, path)
    if cell is not None:
        expected["its settings"] = cell.id
        _check_scope(record, cell, path)
        if record.reportable and cell.limit is not None:
            raise StoreError(f"{path}: reportable, but training was cut short by --limit; {_AGAIN}")
    for what, found in expected.items():
        if found != record.cell_id:
            raise StoreError(
                f"{path}: cell_id is {record.cell_id!r}, but {what} say{'s' * (what[-1] != 's')} "
                f"{found!r}: the file was changed or belongs elsewhere; {_AGAIN}"
            )
    if record.record_sha256 and record_sha256(content) != record.record_sha256:
        raise StoreError(f"{path}: was changed after it was written (record_sha256); {_AGAIN}")
    return record


def _check_scope(record: Record, cell: Cell, path: Path) -> None:
    """The scope's zeros are those of its components: tables show the one, checks count the others.

    Raises:
        StoreError: They are not.
    """
    counts = [record.sparsity.components[name] for name in cell.recipe.scope]
    zeros, total = sum(c.zeros for c in counts), sum(c.total for c in counts)
    scope = record.sparsity.scope
    if (scope.zeros, scope.total) != (zeros, total):
        raise StoreError(
            f"{path}: sparsity: {scope.zeros} zeros among {scope.total} weights of the scope, but "
            f"{zeros} among {total} of its components; {_AGAIN}"
        )


def parse_cell(content: Any, path: Path) -> Cell | None:
    """A stored cell; None for one of an old identity version whose id can't be made any more.

    Raises:
        StoreError: It is not valid, or of a newer version.
    """
    version = content.get("identity_version", 1) if isinstance(content, dict) else None
    _check_version(version, IDENTITY_VERSION, "identity_version", path)
    try:
        return Cell.model_validate(content, context={STORED: True})
    except ValidationError as error:
        if version not in get_args(Cell.model_fields["identity_version"].annotation):
            return None
        raise StoreError(f"{path}: not a valid cell: {_first(error)}; {_AGAIN}") from None


def read_cell(content: Any, path: Path) -> Cell:
    """The cell of a ``cell.json``, which must be that of its folder.

    Raises:
        StoreError: It is not.
    """
    cell = parse_cell(content, path)
    found = None if cell is None else cell.id
    if cell is None or not path.parent.name.endswith(f"-{found}"):
        raise StoreError(
            f"{path}: these settings are those of cell {found}, not of its folder: the file was "
            "changed; smc-bench run writes it anew"
        )
    return cell


def check_weights(folder: Path, record: Record, named: Path | None = None) -> None:
    """See that the files of a finished cell's ``weights`` are those that it was evaluated with.

    Args:
        folder: Holds the weights, or a copy of them.
        record: The cell's.
        named: What the folder is called in errors, where it is a copy.

    Raises:
        DamagedError: A file is missing or was changed; names it and says what to do.
    """
    expected = {WEIGHTS: record.weights_sha256, **record.files_sha256}
    if record.files_sha256 and folder.is_dir():
        for extra in sorted(path.name for path in folder.iterdir() if path.name not in expected):
            raise _damaged((named or folder) / extra, "is not one of its files", record)
    for name, wanted in expected.items():
        path = (named or folder) / name
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _damaged(path, f"can't be read ({error.strerror})", record) from None
        if found != wanted:
            raise _damaged(
                path, f"has the sha256 {found[:12]}…, not {wanted[:12]}… as in its record", record
            )


def _damaged(path: Path, what: str, record: Record) -> DamagedError:
    return DamagedError(
        f"{path} {what}: it was changed after cell {record.cell_id} finished, and is not used; put "
        "the file back, or train the cell again (run --force)"
    )


def _check_version(found: Any, known: int, key: str, path: Path) -> None:
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise StoreError(f"{path}: {key} is {found!r}, not a whole number from 1; {_AGAIN}")
    if found > known:
        raise StoreError(
            f"{path}: written by a newer smc-bench ({key} {found}; this one knows up to {known}): "
            "update smc-bench to read it"
        )


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    said = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
