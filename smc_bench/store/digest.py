"""Hashes by which a finished cell's files are known to be those that its worker wrote.

The record names the content of its companions (``predictions_sha256``, ``layers_sha256``,
``curve_sha256``) and, in ``record_sha256``, everything that stands in itself. All are over content,
as JSON with sorted keys and no spaces, so that files may be packed and indented anew. They show
what was changed by accident or in part; who means to forge results can make hashes too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smc_bench.store.files import content_sha256
from smc_bench.store.packed import thinned

KEY = "record_sha256"


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's content with the hash of all the rest of it."""
    return {**record, KEY: record_sha256(record)}


def record_sha256(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record's content but for the key that keeps it."""
    return content_sha256({key: value for key, value in record.items() if key != KEY})


def curve_sha256(lines: list[dict[str, Any]]) -> str:
    """SHA-256 of a curve of training, thinned as small records keep it."""
    return content_sha256(thinned(lines))
