"""The progress line renews itself in place: it never reaches a terminal's last column."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smc_bench.cli import live
from smc_bench.dispatch.eta.forecast import Forecast


@pytest.fixture(scope="module")
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def resize(end: int, columns: int) -> None:
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    columns=st.integers(20, 200),
    texts=st.lists(st.text("ab é中e\u0301", max_size=300), min_size=1, max_size=4),
)
def test_a_line_fits_every_terminal(
    columns: int,
    texts: list[str],
    terminal: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resize(terminal[1], columns)
    written: list[str] = []
    with os.fdopen(os.dup(terminal[1]), "w") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        patched.setattr(live, "emit", lambda text, err: written.append(text))
        line = live.Live({}, cast(Forecast, None))
        for text in texts:
            line._print(text)
    for text, shown in zip(texts, written, strict=True):
        body = shown.removeprefix("\r")
        taken = sum(2 if c == "中" else 0 if c == "\u0301" else 1 for c in body)
        assert taken < columns
        kept = body.rstrip(" ")
        assert kept == text.rstrip(" ") or (kept.endswith("…") and text.startswith(kept[:-1]))


def test_a_terminal_that_shrank_is_not_blanked_past_its_edge(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    with os.fdopen(os.dup(terminal[1]), "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(live, "emit", lambda text, err: written.append(text))
        line = live.Live({}, cast(Forecast, None))
        resize(terminal[1], 200)
        line._print("x" * 150)
        resize(terminal[1], 80)
        line._print("y")
        resize(terminal[1], 0)  # serial lines and some containers say nothing
        line._print("z" * 300)
    assert written == ["\r" + "x" * 150, "\r" + "y".ljust(79), "\r" + "z" * 78 + "…"]
