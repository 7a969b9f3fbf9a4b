"""The progress line of a run: cells done, current step, loss, sparsity, time left."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from smc_bench.dispatch.local import LocalPool
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import timeline_of


def last_line(path: Path) -> dict[str, Any]:
    """The newest complete progress line of a cell, or nothing."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="replace").strip().split("\n")
        found: dict[str, Any] = json.loads(lines[-1])
    except (OSError, ValueError):
        return {}
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


class Live:
    """Prints progress to standard error: a renewed line on a terminal, else a line now and then."""

    def __init__(self, cells: dict[str, Cell]) -> None:
        """Estimate the whole work in optimizer steps."""
        self.cells = cells
        self.steps = {key: timeline_of(cell).total_steps for key, cell in cells.items()}
        self.started = time.monotonic()
        self.before: set[str] | None = None
        self.printed = 0.0
        self.every = 1.0 if sys.stderr.isatty() else 10.0
        self.width = 0

    def __call__(self, pool: LocalPool) -> None:
        """Called by the pool at each tick."""
        if self.before is None:
            self.before = set(pool.outcome.done)
        if time.monotonic() - self.printed < self.every:
            return
        self.printed = time.monotonic()
        running = [describe(cell, pool.store.folder(cell.folder)) for cell in pool.running]
        counts = f"[{len(pool.outcome.done)}/{len(self.cells)} cells"
        counts += f", {len(pool.outcome.failed)} failed" if pool.outcome.failed else ""
        self._print(f"{counts}, {self._eta(pool)}] " + " | ".join(running))

    def _eta(self, pool: LocalPool) -> str:
        finished = set(pool.outcome.done) - (self.before or set())
        taken = float(sum(self.steps[key] for key in finished))
        left = sum(steps for key, steps in self.steps.items() if key not in pool.outcome.done)
        for cell in pool.running:
            done = self._steps_done(cell, pool.store.folder(cell.folder))
            taken, left = taken + done, left - int(done)
        elapsed = time.monotonic() - self.started
        if taken < 5:
            return "time left unknown"
        return f"about {elapsed / taken * left / 60:.1f} min left"

    def _steps_done(self, cell: Cell, folder: CellFolder) -> float:
        now, steps = last_line(folder.path / "train.jsonl"), self.steps[cell.id]
        if now.get("phase") == "train":
            return float(now["step"] / max(1, now["total"]) * steps)
        return float(steps) if now.get("phase") == "evaluate" else 0.0

    def _print(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r" + text[:220].ljust(self.width))
            self.width = min(220, len(text))
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the renewing line."""
        if sys.stderr.isatty() and self.width:
            sys.stderr.write("\n")
