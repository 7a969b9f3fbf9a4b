"""What of a cell may leave this machine: everything but where its model's folder lies.

A path says who somebody is and how their machine is built, and means nothing elsewhere. Records and
reports give a model folder's own name; its content hash is the pin beside it. Workers are told the
path on their command line.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from smc_bench.suite.cell import Cell


def portable(cell: Cell) -> dict[str, Any]:
    """The cell as JSON, for files that are passed on."""
    content = cell.model_dump(mode="json")
    if _is_folder(cell):
        content["model"] = PurePath(cell.model).name
    return content


def model_words(cell: Cell) -> tuple[str, ...]:
    """Words of a worker's command line: where the model of :func:`portable`'s cell is."""
    return ("--model", cell.model) if _is_folder(cell) else ()


def shown_model(text: str) -> str:
    """A suite's model as a report names it: of a path its last part."""
    is_path = text.startswith(("/", "~", "./", "../")) or PurePath(text).is_absolute()
    return PurePath(text).name if is_path else text


def _is_folder(cell: Cell) -> bool:
    return cell.model_pin.startswith("path:")
