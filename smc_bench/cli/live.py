"""The progress line of a run: cells done, current step, loss, sparsity, time left."""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

from smc_bench.cli.output import echo, emit
from smc_bench.dispatch.eta.forecast import Forecast
from smc_bench.dispatch.local.pool import LocalPool
from smc_bench.names import visible
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell


def last_line(path: Path) -> dict[str, Any]:
    """The newest complete progress line of a cell, or nothing."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="replace").strip().split("\n")
        found: dict[str, Any] = json.loads(lines[-1])
        found["phase"], float(found["step"]), float(found["total"])
        if "loss" in found:
            float(found["loss"]), float(found["sparsity"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}  # nothing yet, or a line that a full disk has torn
    return found


def describe(cell: Cell, folder: CellFolder) -> str:
    """One cell's progress in words."""
    now = last_line(folder.path / "train.jsonl")
    if not now:
        return f"{cell.slug} starting"
    text = f"{cell.slug} {now['phase']} {now['step']}/{now['total']}"
    if "loss" in now:
        text += f" loss {now['loss']:.3f} sparsity {now['sparsity']:.2f}"
    return text


def _columns() -> int:
    """Columns of the terminal behind standard error; 80 if it doesn't say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _width(text: str) -> int:
    """Columns that a text takes: wide and full-width characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _cut(text: str, room: int) -> str:
    """The beginning of a text that fits, with … where something is left out."""
    if _width(text) <= room:
        return text
    while text and _width(text) > room - 1:
        text = text[:-1]
    return f"{text}…"


class Live:
    """Prints progress to standard error: a renewed line on a terminal, else a line now and then."""

    def __init__(self, cells: dict[str, Cell], forecast: Forecast) -> None:
        """Say nothing before the first tick."""
        self.cells, self.forecast = cells, forecast
        self.printed = 0.0
        self.every = 1.0 if sys.stderr.isatty() else 10.0
        self.width = 0

    def __call__(self, pool: LocalPool) -> None:
        """Called by the pool at each tick."""
        self.forecast.update(pool)
        if time.monotonic() - self.printed < self.every:
            return
        self.printed = time.monotonic()
        running = [describe(cell, pool.store.folder(cell.folder)) for cell in pool.running]
        counts = f"[{len(pool.outcome.done)}/{len(self.cells)} cells"
        counts += f", {len(pool.outcome.failed)} failed" if pool.outcome.failed else ""
        self._print(f"{counts}, {self._eta(pool)}] " + " | ".join(running))

    def _eta(self, pool: LocalPool) -> str:
        done = {cell.id: self._share_done(cell, pool) for cell in pool.running}
        left = self.forecast.left(pool, done)
        return "time left unknown" if left is None else f"about {left / 60:.1f} min left"

    @staticmethod
    def _share_done(cell: Cell, pool: LocalPool) -> float:
        """How much of its training a cell has behind it, 0..1."""
        now = last_line(pool.store.folder(cell.folder).path / "train.jsonl")
        if now.get("phase") == "train":
            return float(now["step"] / max(1, now["total"]))
        return 1.0 if now.get("phase") == "evaluate" else 0.0

    def _print(self, text: str) -> None:
        if sys.stderr.isatty():
            # One column stays free: a line that wraps can't be renewed, and floods the terminal.
            room = _columns() - 1
            shown = _cut(visible(text, keep=""), room)
            blank = min(self.width, room) - _width(shown)
            emit("\r" + shown + " " * blank, err=True)
            self.width = _width(shown)
        else:
            echo(text, err=True)

    def close(self) -> None:
        """End the renewing line."""
        if sys.stderr.isatty() and self.width:
            emit("\n", err=True)
