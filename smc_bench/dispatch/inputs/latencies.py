"""Tables of latencies: measured once for a results folder and machine, then kept with the results.

``RESULTS/latencies/<key>.json``; the key names processor, engine, versions, shape and model, so
that what was measured elsewhere is not taken. A recipe takes another machine's table by naming its
file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.dispatch.worker.command import worker_environment
from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, write_json
from smc_bench.store.provenance import processor

FOLDER = "latencies"
BUSY = 0.5
"""Load average from which on somebody else was at work."""

_log = logging.getLogger(__name__)


def installed(engine: str) -> bool:
    """Whether an engine is there, so that this machine may have a table of it."""
    return importlib.util.find_spec(engine) is not None


def key_of(target: SpeedTarget, model_pin: str) -> dict[str, Any]:
    """Everything that a table's times hang on.

    Raises:
        StoreError: The engine is not installed.
    """
    if not installed(target.engine):
        raise StoreError(
            f"target: {target.engine} is not installed: pip install 'smc-bench[inference]', or "
            "name a table that was measured elsewhere (target.table)"
        )
    versions = [version(target.engine), version("torch")]
    return {
        "processor": processor(),
        "engine": target.engine,
        "versions": versions,
        "threads": target.threads,
        "batch": target.batch,
        "length": target.length,
        "model": model_pin,
    }


def path_of(root: Path, key: dict[str, Any]) -> Path:
    """Where the table of a key is, or would be."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return root / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def stored(root: Path, key: dict[str, Any]) -> LatencyTable | None:
    """The table of a results folder, if it was measured already.

    Raises:
        StoreError: The file is damaged, or of another key.
    """
    path = path_of(root, key)
    if not path.exists():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or content.get("key") != key:
        raise StoreError(f"{path}: is not of the key that names it: remove it to measure again")
    return _table(path, content)


def named(path: Path) -> LatencyTable:
    """The table of a file that a recipe names.

    Raises:
        StoreError: It is not there, or damaged.
    """
    if not path.exists():
        raise StoreError(f"target.table: there is no file {path}")
    content = read_json(path)
    if not isinstance(content, dict):
        raise StoreError(f"{path}: is not an object")
    return _table(path, content)


def _table(path: Path, content: dict[str, Any]) -> LatencyTable:
    try:
        table = LatencyTable.model_validate_json(json.dumps(content.get("table")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("table", *map(str, first["loc"])))
        raise StoreError(f"{path}: {where}: {first['msg']}: measure it again") from None
    if content.get("sha256") != table.sha256:
        raise StoreError(f"{path}: was changed after it was written: measure it again")
    return table


def choose(root: Path, key: dict[str, Any], target: SpeedTarget, folder: Path) -> LatencyTable:
    """The stored table, or one that is measured now, which is then stored.

    Args:
        root: Results folder.
        key: As :func:`key_of` has it.
        target: Engine and shape.
        folder: The model's.

    Raises:
        StoreError: Nothing could be measured.
    """
    known = stored(root, key)
    if known is not None:
        return known
    asked = target.model_dump(mode="json", exclude={"table"})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "smc_bench.export.latency", str(folder), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
        env=worker_environment(target.threads),
    )
    try:
        table = LatencyTable.model_validate_json(done.stdout)
    except ValidationError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StoreError(f"the table of latencies could not be measured: {last}") from None
    content = {"key": key, "sha256": table.sha256, "table": table.model_dump(mode="json")}
    path = path_of(root, key)
    write_json(path, content)
    if table.load > BUSY:
        _log.warning(
            "the table of latencies was measured while the machine had other work (load %.1f): "
            "for a better one remove %s and run again on a quiet machine",
            table.load,
            path,
        )
    return table
