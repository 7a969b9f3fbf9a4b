"""A disk that is full while merging: which one, what stays, and that it goes on from there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smc_bench.cli.main import cli
from smc_bench.errors import FullDiskError
from smc_bench.store.store import Store
from tests.helpers.carried import ONE, TWO, bring, finish, hidden, tar_of, whats


def on_call(count: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """The same function on a disk that is full from its ``count``-th call on."""
    calls = []

    def full(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) >= count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    return full


def merged(*words: object) -> Result:
    return CliRunner().invoke(cli, ["merge", *map(str, words)])


# Each cell has a small text for its settings and one for its record, and two files of weights,
# for each of which shutil asks sendfile twice.
@pytest.mark.skipif(not hasattr(os, "sendfile"), reason="no sendfile")
@pytest.mark.parametrize(("where", "name", "call"), [(Path, "write_text", 4), (os, "sendfile", 5)])
def test_the_disk_of_the_results_is_named_and_the_same_again_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, call: int
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for cell in (ONE, TWO):
        finish(there, cell, weights=True)
    with monkeypatch.context() as patched:
        patched.setattr(where, name, on_call(call, getattr(where, name)))
        done = merged(there, tmp_path / "never looked at", "--weights", "--results", here)
    assert done.exit_code == 1
    assert f"left out: {here}: can't be written: No space left on device" in done.stderr
    assert "what was brought in before stays (cells: 1)" in done.stderr
    assert "run the same again" in done.stderr
    assert str(there / "cells") not in done.stderr
    assert "never looked at" not in done.stderr
    assert done.stdout == f"1 added ({here})\n"
    assert hidden(here) == []
    states = [Store(here).folder(cell.folder).state() for cell in (ONE, TWO)]
    assert sorted(states) == ["done", "missing"]
    assert sorted(whats(bring(there, here, weights=True)).values()) == ["added", "there"]


def test_a_tar_that_finds_no_room_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(tmp_path / "there", ONE)
    tar = tar_of(tmp_path / "there", tmp_path / "a.tgz")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", on_call(2, shutil.copyfileobj))
        with pytest.raises(FullDiskError, match=r"here: can't be written: No space left"):
            bring(tar, tmp_path / "here")
    assert hidden(tmp_path / "here") == []
    assert whats(bring(tar, tmp_path / "here")) == {ONE.id: "added"}
