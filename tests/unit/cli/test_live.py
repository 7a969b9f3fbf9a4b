"""The display: as wide as the terminal and never wider, plain elsewhere, and out of the way."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smc_bench.cli import live
from smc_bench.cli.live import Display, Name
from smc_bench.dispatch.backend import CellState, Status
from smc_bench.dispatch.eta import Paces
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE

CELLS = {c.id: c for c in (Cell.model_validate(BASE | {"seed": s}) for s in range(1, 5))}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture(scope="module")
def terminal() -> Iterator[TextIO]:
    """A stream on a pseudo-terminal."""
    ends = pty.openpty()
    with os.fdopen(ends[1], "w") as stream:
        yield stream
    os.close(ends[0])


def resize(stream: TextIO, columns: int, rows: int = 24) -> None:
    fcntl.ioctl(stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def results(folder: Path, phase: str = "train") -> tuple[Store, Status]:
    """Results with one cell done, two running of which one says something, one pending."""
    store, (one, two, three, four) = Store(folder), CELLS
    path = store.folder(CELLS[two].folder).path
    path.mkdir(parents=True, exist_ok=True)
    line = {"phase": phase, "step": 30, "total": 120, "attempt": 1}
    line |= {"loss": 0.51234, "lr": 2e-5, "sparsity": 0.45}
    first, last = {**line, "step": 10, "time": 100.0}, {**line, "time": 110.0}
    (path / "train.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(last)}\n")
    words = {one: "done", two: "running", three: "running", four: "pending"}
    return store, {key: CellState(word) for key, word in words.items()}


def frames(
    stream: TextIO, monkeypatch: pytest.MonkeyPatch, display: Display, status: Status
) -> list[str]:
    """What is drawn, line by line, without control sequences."""
    written: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        patched.setattr(live, "emit", lambda text, err: written.append(text))
        display.terminal = True
        display.show(status)
    return CONTROL.sub("", "".join(written)).split("\n")


def made(store: Store, name: str = "guided", **options: object) -> Display:
    names = {key: Name("sst2", name, 0.9, cell.seed) for key, cell in CELLS.items()}
    header = ("tiny (laptop): 4 cells, results in results", f"A note on {name} {'x' * 300}")
    return Display(
        CELLS, store, Paces(store, gpu=False), header=header, names=names, jobs=2, **options
    )  # type: ignore[arg-type]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    columns=st.integers(11, 200),
    rows=st.integers(2, 50),
    name=st.text("ab é中e\u0301[]\x1b\n", max_size=80),
)
def test_no_line_reaches_the_last_column_of_any_terminal(
    columns: int,
    rows: int,
    name: str,
    terminal: TextIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resize(terminal, columns, rows)
    store, status = results(tmp_path)
    lines = frames(terminal, monkeypatch, made(store, name), status)
    assert len(lines) <= rows
    assert max(map(width, lines)) < columns


def test_a_wide_terminal_shows_all_and_a_narrow_one_what_counts(
    terminal: TextIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, status = results(tmp_path)
    resize(terminal, 100)
    lines = frames(terminal, monkeypatch, made(store), status)
    (row,) = (line for line in lines if "30/120" in line)
    # 20 steps took 10 s, so that 90 steps take 45 s.
    for shown in ("sst2", "guided", "0.9", "2", "30/120", "0.512", "0.45", "2.0e-05", "45 s"):
        assert shown in row.split() or shown in row
    assert sum("starting" in line for line in lines) == 1
    assert "1/4 cells, 1 pending" in lines[-2]
    resize(terminal, 50)
    lines = frames(terminal, monkeypatch, made(store), status)
    (row,) = (line for line in lines if "30/120" in line)
    assert "guided" in row
    assert "2.0e-05" not in row


def test_colour_is_left_out_where_nobody_wants_it(
    terminal: TextIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, status = results(tmp_path)
    written: list[str] = []
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(live, "emit", lambda text, err: written.append(text))
    display = made(store)
    display.show(status)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", "".join(written))


def test_what_is_drawn_anew_begins_where_it_was_drawn(
    terminal: TextIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, status = results(tmp_path)
    written: list[str] = []
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(live, "emit", lambda text, err: written.append(text))
    resize(terminal, 80)
    display = made(store)
    display.show(status)
    lines = written[0].count("\n")
    display.show(status)
    assert written[1].startswith(f"\r\x1b[{lines}A")
    resize(terminal, 40)  # each line of 79 columns is two by now
    display.show(status)
    assert written[2].startswith(f"\r\x1b[{2 * lines}A")
    monkeypatch.setattr(live, "write_at_once", lambda text: None)
    display.announce("stopping")
    display.show(status)  # below what was said, not over it
    assert not re.match(r"\r\x1b\[[0-9]+A", written[3])


def test_elsewhere_a_plain_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, status = results(tmp_path)
    display = made(store)
    display(status)
    display(status)  # too soon
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count("[1/4 cells, 1 pending, about 45 s left] ") == 0
    assert said.count("[1/4 cells, 1 pending, time left unknown] ") == 1  # one says nothing yet
    assert " train 30/120 loss 0.512 sparsity 0.45" in said
    assert said.startswith("tiny (laptop): 4 cells")


def test_quiet_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, status = results(tmp_path)
    made(store, quiet=True)(status)
    assert capsys.readouterr().err == ""
