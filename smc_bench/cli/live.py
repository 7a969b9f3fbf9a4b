"""The live display of a run: a header, a line for each running cell, and an overall bar.

On a terminal the display is drawn anew in place, as wide as the terminal less one column, so that
no line ever wraps. Elsewhere a plain line is printed now and then. rich lays it out; it is drawn by
:func:`smc_bench.cli.output.emit`, which survives every encoding and closed pipes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from smc_bench.cli.output import echo, emit
from smc_bench.dispatch.backend import Status
from smc_bench.dispatch.eta import Paces, in_words, left_of, time_left
from smc_bench.dispatch.local.stop import write_at_once
from smc_bench.dispatch.progress import Seen, progress_of
from smc_bench.names import visible
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.labels import labels

_ON_TERMINAL_SECONDS = 0.5
_PLAIN_SECONDS = 10.0
_RECORDS_A_LOOK = 20


@dataclass(frozen=True)
class Name:
    """What a cell is called in the display."""

    task: str
    arm: str
    sparsity: float
    seed: int


def names_of(plan: Plan) -> dict[str, Name]:
    """Names of a plan's cells by id; a cell of several arms has the first one's."""
    tasks, names = labels(plan), dict[str, Name]()
    for entry in plan.entries:
        cell = entry.cell
        name = Name(tasks[cell.task], entry.arm, entry.target, cell.seed)
        names.setdefault(cell.id, name)
    return names


def describe(cell: Cell, folder: CellFolder) -> str:
    """One cell's progress in words."""
    seen = progress_of(folder.path / "train.jsonl")
    if seen is None:
        return f"{cell.slug} starting"
    text = f"{cell.slug} {seen.phase} {seen.step:g}/{seen.total:g}"
    if seen.loss is not None and seen.sparsity is not None:
        text += f" loss {seen.loss:.3f} sparsity {seen.sparsity:.2f}"
    return text


class Display:
    """Shows a run on standard error; call it with the status of the cells.

    Attributes:
        cells: All cells of the run, by id.
        paces: What finished cells took.
        reused: Steps that cells take from one that shares their prefix.
    """

    def __init__(
        self,
        cells: Mapping[str, Cell],
        store: Store,
        paces: Paces,
        *,
        header: tuple[str, ...] = (),
        names: Mapping[str, Name] | None = None,
        jobs: int = 1,
        quiet: bool = False,
    ) -> None:
        """Say nothing before the first look.

        Args:
            cells: All cells of the run, by id.
            store: Where their folders are.
            paces: What finished cells took.
            header: Lines above the cells.
            names: What cells are called; their slugs where nothing is said.
            jobs: Cells at once, or 0 where nobody knows (a queue).
            quiet: Show nothing at all.
        """
        self.cells, self.store, self.paces = cells, store, paces
        self.header, self.names, self.jobs, self.quiet = header, names or {}, jobs, quiet
        self.reused: Mapping[str, int] = {}
        self.terminal = _is_terminal()
        self._next = 0.0
        self._drawn: tuple[int, int] = (0, 0)  # lines, and how wide they are
        self._began = False
        self._learnt: set[str] = set()

    def __call__(self, status: Status) -> None:
        """Show where the cells stand, unless that was just done."""
        if self.quiet or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + (_ON_TERMINAL_SECONDS if self.terminal else _PLAIN_SECONDS)
        self.show(status)

    def show(self, status: Status) -> None:
        """Show where the cells stand."""
        self._learn(status)
        seen = {
            key: progress_of(self.store.folder(self.cells[key].folder).path / "train.jsonl")
            for key, state in status.items()
            if state.word == "running"
        }
        left = None
        if self.jobs:
            left = time_left(self.cells, status, seen, self.paces, self.jobs, self.reused)
        if self.terminal:
            self._draw(status, seen, left)
        else:
            self._print(status, seen, left)

    def announce(self, text: str) -> None:
        """Say something in a signal's handler, below what is drawn; the display goes on below."""
        self._drawn = (0, 0)
        write_at_once(text)

    def close(self) -> None:
        """Remove the display; what was printed above it stays."""
        if self.terminal:
            emit(self._up() + "\x1b[J", err=True)
        self._drawn = (0, 0)

    def _learn(self, status: Status) -> None:
        new = [k for k, state in status.items() if state.word == "done" and k not in self._learnt]
        # Reading a thousand records at once would hold up the cells.
        self._learnt.update(new[:_RECORDS_A_LOOK])
        self.paces.learn(self.cells[key] for key in new[:_RECORDS_A_LOOK])

    def _print(self, status: Status, seen: Mapping[str, Seen | None], left: float | None) -> None:
        if not self._began:
            self._began = True
            for line in self.header:
                echo(line, err=True)
        running = [describe(c, self.store.folder(c.folder)) for c in map(self.cells.get, seen) if c]
        echo(f"[{self._counts(status)}, {_left(left)}] {' | '.join(running)}".rstrip(), err=True)

    def _counts(self, status: Status) -> str:
        words = [state.word for state in status.values()]
        text = f"{words.count('done')}/{len(self.cells)} cells"
        for word in ("failed", "damaged", "blocked", "lost", "interrupted", "pending"):
            text += f", {words.count(word)} {word}" if word in words else ""
        return text

    def _draw(self, status: Status, seen: Mapping[str, Seen | None], left: float | None) -> None:
        columns, rows = _size()
        # One column stays free: a line that fills the last one wraps on some terminals.
        width = max(10, columns - 1)
        console = Console(
            file=sys.stderr, width=width, height=rows, force_terminal=True, highlight=False,
            markup=False, emoji=False,
        )  # fmt: skip
        room = max(1, rows - 4 - len(self.header))
        done = sum(state.word == "done" for state in status.values())
        overall = Table.grid(padding=(0, 1), expand=True)
        overall.add_column(ratio=1, no_wrap=True)
        overall.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=max(1, len(self.cells)), completed=done)
        overall.add_row(bar, _plain(f"{self._counts(status)} · {_left(left)}"))
        header = [Text(_plain(line), style="bold" if not at else "dim", no_wrap=True,
                       overflow="ellipsis") for at, line in enumerate(self.header)]  # fmt: skip
        cells = [self._table(seen, width, room)] if seen else []
        with console.capture() as capture:
            console.print(Group(*header, *cells, overall))
        lines = capture.get().rstrip("\n").split("\n")[: max(1, rows - 1)]
        text = "".join(f"{line}\x1b[K\n" for line in lines)
        emit(f"{self._up()}{text}\x1b[J", err=True)
        self._drawn = (len(lines), width)

    def _table(self, seen: Mapping[str, Seen | None], width: int, room: int) -> Table:
        """A line for each running cell; what a narrow terminal has no room for is left out."""
        shown = [name for name, least in _COLUMNS if width >= least]
        table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim")
        for name in shown:
            if name == "progress":
                table.add_column(name, ratio=1, min_width=6, no_wrap=True)
            elif name in ("task", "arm"):
                table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=width // 5)
            else:
                table.add_column(name, justify="right", no_wrap=True)
        for key, now in list(seen.items())[:room]:
            cells = self._row(key, now)
            table.add_row(*(cells[name] for name in shown))
        if len(seen) > room:
            table.add_row(f"and {len(seen) - room} more")
        return table

    def _row(self, key: str, now: Seen | None) -> dict[str, str | ProgressBar]:
        cell = self.cells[key]
        name = self.names.get(key) or Name(cell.task.name, cell.slug, cell.sparsity, cell.seed)
        left = left_of(cell, now, self.paces)
        row: dict[str, str | ProgressBar] = {
            "task": _plain(name.task),
            "arm": _plain(name.arm),
            "sparse": f"{name.sparsity:.4g}",
            "seed": str(name.seed),
            "progress": ProgressBar(total=1.0, completed=now.share if now else 0.0),
            "step": "starting",
            "loss": "",
            "now": "",
            "lr": "",
            "left": "" if left is None else in_words(left),
        }
        if now is not None:
            row["step"] = f"{now.step:g}/{now.total:g}"
            if now.phase != "train":
                row["step"] = f"{_plain(now.phase)} {100 * now.share:.0f} %"
            row["loss"] = "" if now.loss is None else f"{now.loss:.3f}"
            row["now"] = "" if now.sparsity is None else f"{now.sparsity:.2f}"
            row["lr"] = "" if now.lr is None else f"{now.lr:.1e}"
        return row

    def _up(self) -> str:
        """Back to the first line that was drawn, also on a terminal that is narrower by now."""
        lines, width = self._drawn
        if not lines:
            return "\r"
        rows = lines * -(-width // max(1, _size()[0]))
        return f"\r\x1b[{rows}A"


# Columns with the least width of a terminal that shows them.
_COLUMNS = (
    ("task", 0),
    ("arm", 0),
    ("sparse", 0),
    ("seed", 60),
    ("progress", 40),
    ("step", 0),
    ("loss", 50),
    ("now", 70),
    ("lr", 75),
    ("left", 45),
)


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"about {in_words(seconds)} left"


def _plain(text: str) -> str:
    """Text that takes as much room as rich thinks, in the terminal's encoding."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    return visible(text, keep="").encode(encoding, "replace").decode(encoding)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


def _size() -> tuple[int, int]:
    """Columns and rows of the terminal behind standard error; 80 by 24 if it doesn't say."""
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return 80, 24
    return columns or 80, rows or 24
