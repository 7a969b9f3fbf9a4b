from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from smc_bench.dispatch.niceness import AUTOGROUP, share_niceness


def test_a_session_of_a_nice_process_is_as_nice() -> None:
    if not AUTOGROUP.exists():
        pytest.skip("this system weighs no sessions (no /proc/self/autogroup)")
    code = (
        "import os; os.setsid() if os.getsid(0) != os.getpid() else None; os.nice(7);"
        "from smc_bench.dispatch.niceness import share_niceness; share_niceness();"
        "print(open('/proc/self/autogroup').read())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if not (found := re.search(r"nice (-?\d+)", done.stdout)):
        pytest.skip("sessions have no group here")
    assert int(found[1]) >= 7


def test_nothing_is_written_where_nobody_asked_to_be_nice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "autogroup"
    path.write_text("as it was")
    monkeypatch.setattr("os.nice", lambda _: 0)
    share_niceness(path)
    assert path.read_text() == "as it was"
    monkeypatch.setattr("os.nice", lambda _: 5)
    monkeypatch.setattr("os.getsid", lambda _: os.getpid())
    share_niceness(path)
    assert path.read_text() == "5"
    share_niceness(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_session_of_others_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is started without a session of its own must not slow its user's shell."""
    path = tmp_path / "autogroup"
    path.write_text("as it was")
    monkeypatch.setattr("os.nice", lambda _: 5)
    monkeypatch.setattr("os.getsid", lambda _: os.getpid() + 1)
    share_niceness(path)
    assert path.read_text() == "as it was"
