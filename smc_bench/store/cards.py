"""``gpu/NAME.json`` of a results folder: how fast a kind of GPU trains, as ``doctor --gpu`` saw it.

One file a kind: what was measured on one speaks for no other, nor for another version of torch.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from pydantic import ValidationError

from smc_bench.errors import StoreError
from smc_bench.store.files import content_sha256, read_json, write_json
from smc_bench.suite.card import Card

FOLDER = "gpu"


def path_of(root: Path, name: str) -> Path:
    """The file of a kind of GPU; names that differ never share one."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:80]
    return root / FOLDER / f"{plain}-{content_sha256(name)[:6]}.json"


def keep(root: Path, card: Card) -> Path:
    """Write what was measured, in place of what was before; the file's path."""
    path = path_of(root, card.name)
    write_json(path, card.model_dump())
    return path


def stored(root: Path, name: str) -> Card | None:
    """What was measured of a kind of GPU, or None where nothing was.

    Raises:
        StoreError: If the file holds something else.
    """
    path = path_of(root, name)
    content = read_json(path)
    if content is None and not path.exists():
        return None
    return _read(path, content, name)


def installed_torch() -> str:
    """Version of torch, without loading it: what a measurement is good for."""
    return importlib.metadata.version("torch")


def names(root: Path) -> list[str]:
    """Kinds of GPU that were measured; damaged files are passed over."""
    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        try:
            found.append(_read(path, read_json(path)).name)
        except StoreError:
            continue
    return found


def _read(path: Path, content: object, name: str | None = None) -> Card:
    try:
        card = Card.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise StoreError(
            f"{path}: {where}: {first['msg']}: delete the file and measure again "
            "(smc-bench doctor --gpu)"
        ) from None
    if name is not None and card.name != name:
        raise StoreError(f"{path}: is of {card.name!r}, not of {name!r}: delete the file")
    return card
