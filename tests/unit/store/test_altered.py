"""Whatever is changed in a finished cell, merge does not take it for what was measured."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.carried import ONE, bring, finish, packed

Way = tuple[str | int, ...]


def leaves(value: Any, way: Way = ()) -> Iterator[Way]:
    """The way to everything that can be changed: each key and item, and what holds them."""
    if way:
        yield way
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*way, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from leaves(value[index], (*way, index))


def other(value: Any) -> Any:
    """A value of the same kind that differs little."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return type(value)()  # emptied


def damaged(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Copies with one thing changed, removed or added each, and what it is."""
    for way in leaves(whole):
        if way[0] == "curve" and way[1:2] not in ((), (0,), (99,)):
            continue  # the first and the last of its points stand for all
        for how in ("changed", "removed"):
            found = copy.deepcopy(whole)
            inner: Any = found
            for key in way[:-1]:
                inner = inner[key]
            if how == "removed":
                del inner[way[-1]]
            else:
                inner[way[-1]] = other(inner[way[-1]])
            if found != whole:
                yield f"{'.'.join(map(str, way))} {how}", found
    for key in ("metrics", "trivial", "provenance", "outputs", "sparsity"):
        found = copy.deepcopy(whole)
        found["record"][key]["extra"] = copy.deepcopy(next(iter(whole["record"][key].values())))
        yield f"record.{key}.extra added", found


# Without hashes these can't be told from others: what nothing else in the record speaks of, keys
# that stand for the same when left out, and additions that nobody reads.
BELIEVED = (
    "curve", "layers removed", "record.attempt", "record.started", "record.device",
    "record.threads", "record.train_seconds", "record.weights_sha256", "record.files_sha256",
    "record.provenance", "record.predictions_sha256 removed", "record.sparsity.model.total",
    "record.sparsity.extra added", "record.outputs.train", "record.events.0.encoder removed",
    "record.events.0.scope removed", "record.cell.model changed",
    "record.cell.recipe.distillation changed", "record.cell.recipe.evaluation changed",
)  # fmt: skip


def believed(tmp_path: Path, hashed: bool) -> set[str]:
    """What can be changed in a small record without merge refusing it."""
    finish(tmp_path / "there", ONE, hashed=hashed)
    records = packed(tmp_path / "there", tmp_path / "records")
    (path,) = records.glob("*/*")
    whole = json.loads(gzip.decompress(path.read_bytes()))
    found = set()
    for what, changed in damaged(whole):
        path.write_bytes(gzip.compress(json.dumps(changed).encode()))
        (outcome,) = bring(records, tmp_path / f"here{len(found)}", durable=False)
        if outcome.what != "left out":
            found.add(what)
            assert outcome.what == "added"
            assert outcome.hashed == hashed
    return found


def test_nothing_of_a_hashed_record_can_be_changed(tmp_path: Path) -> None:
    assert believed(tmp_path, hashed=True) == set()


def test_of_an_older_record_nothing_that_follows_from_the_rest_can_be_changed(
    tmp_path: Path,
) -> None:
    left = {what for what in believed(tmp_path, hashed=False) if not what.startswith(BELIEVED)}
    defaults = {what for what in left if what.startswith("record.cell") and "removed" in what}
    assert left == defaults  # the id, which is a hash of the settings, holds all others
