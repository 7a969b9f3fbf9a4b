"""``train.precision: auto``: measured once for a results folder, then stored beside the lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from smc_bench.dispatch.worker.command import worker_environment
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, write_json

FILE = "precision.json"
_CHOICES = ("fp32", "bf16")


def stored(root: Path) -> str | None:
    """The precision of a results folder, if it was chosen already.

    Raises:
        StoreError: If the file says neither fp32 nor bf16.
    """
    content: Any = read_json(root / FILE)
    if content is None and not (root / FILE).exists():
        return None
    choice = content.get("choice") if isinstance(content, dict) else None
    if choice not in _CHOICES:
        raise StoreError(
            f'{root / FILE}: "choice" must be fp32 or bf16, not {choice!r}: '
            "mend it, or delete the file and the next run measures again"
        )
    return str(choice)


def choose(root: Path) -> str:
    """The stored precision, or the one that is measured to be faster here, which is then stored.

    Raises:
        StoreError: If nothing could be measured.
    """
    stored_choice = stored(root)
    if stored_choice is not None:
        return stored_choice
    done = subprocess.run(
        [sys.executable, "-P", "-m", "smc_bench.engine.precision"],
        capture_output=True,
        text=True,
        check=False,
        env=worker_environment(os.cpu_count() or 1),
    )
    try:
        measured = json.loads(done.stdout)
    except json.JSONDecodeError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StoreError(
            f"train.precision: auto could not be measured ({last}); write fp32 or bf16"
        ) from None
    write_json(root / FILE, measured)
    return str(measured["choice"])
