"""Wheels: pinned by hash, unzipped in one step, never changed behind anyone's back."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources import wheels
from smc_bench.sources.roots import Roots
from smc_bench.sources.wheels import PinnedWheel

MEMBERS = {
    "invented/data/a.txt": b"a" * 300_000,
    "invented/data/sub/b.txt": b"b",
    "invented/database.txt": b"not under the prefix",
    "invented/__init__.py": b"raise RuntimeError('imported')",
}


@pytest.fixture
def wheel(make_wheel: Callable[..., Path], roots: Roots) -> PinnedWheel:
    """An invented wheel that lies in the cache."""
    made = make_wheel(MEMBERS)
    pinned = PinnedWheel("invented", "1.0", hashlib.sha256(made.read_bytes()).hexdigest())
    target = wheels.stored(pinned, roots)
    target.parent.mkdir(parents=True)
    shutil.copy(made, target)
    return pinned


def _fake_pip(monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if content is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: trying\nERROR: no network")
        folder = Path(command[command.index("--dest") + 1])
        (folder / "invented-1.0-py3-none-any.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_the_members_under_a_prefix_are_unzipped_once(wheel: PinnedWheel, roots: Roots) -> None:
    folder = wheels.extract(wheel, "invented/data/", roots)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["a.txt", "sub/b.txt"]
    assert (folder / "a.txt").read_bytes() == MEMBERS["invented/data/a.txt"]
    wheels.stored(wheel, roots).unlink()
    assert wheels.extract(wheel, "invented/data", roots) == folder
    assert not list(roots.cache.rglob(".scratch*"))


def test_a_wrong_hash_names_file_and_hashes_and_deletes_nothing(
    wheel: PinnedWheel, roots: Roots
) -> None:
    wrong = dataclasses.replace(wheel, sha256="0" * 64)
    path = wheels.stored(wheel, roots)
    with pytest.raises(CorruptDataError) as caught:
        wheels.extract(wrong, "invented/data/", roots)
    for part in (str(path), wheel.sha256, "0" * 64):
        assert part in str(caught.value)
    assert path.is_file()


def test_a_prefix_without_members_is_an_error(wheel: PinnedWheel, roots: Roots) -> None:
    with pytest.raises(CorruptDataError, match="nothing under absent/"):
        wheels.extract(wheel, "absent/", roots)


def test_a_member_that_would_leave_its_folder_is_refused(
    make_wheel: Callable[..., Path], roots: Roots
) -> None:
    made = make_wheel({"invented/data/../../../escaped": b""})
    pinned = PinnedWheel("invented", "1.0", hashlib.sha256(made.read_bytes()).hexdigest())
    wheels.stored(pinned, roots).parent.mkdir(parents=True)
    shutil.copy(made, wheels.stored(pinned, roots))
    with pytest.raises(CorruptDataError, match="unsafe name"):
        wheels.extract(pinned, "invented/data/", roots)


def _extract(wheel: PinnedWheel, roots: Roots, start: Any, answers: Any) -> None:
    start.wait()
    folder = wheels.extract(wheel, "invented/data/", roots)
    answers.put((str(folder), (folder / "a.txt").stat().st_size))


def test_two_processes_may_extract_at_once(wheel: PinnedWheel, roots: Roots) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_extract, args=(wheel, roots, start, answers)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    found = {answers.get() for _ in workers}
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert found == {(str(wheels.extract(wheel, "invented/data/", roots)), 300_000)}
    assert not list(roots.cache.rglob(".scratch*"))


def test_the_second_of_two_extractions_gives_way(
    wheel: PinnedWheel, roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    unzip = wheels._unzip

    def unzip_twice(path: Path, prefix: str, folder: Path) -> None:
        monkeypatch.setattr(wheels, "_unzip", unzip)
        wheels.extract(wheel, prefix, roots)  # another process is faster
        unzip(path, prefix, folder)

    monkeypatch.setattr(wheels, "_unzip", unzip_twice)
    folder = wheels.extract(wheel, "invented/data/", roots)
    assert (folder / "sub" / "b.txt").read_bytes() == b"b"
    assert not list(roots.cache.rglob(".scratch*"))


def test_offline_a_wheel_that_is_not_cached_is_missing(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _fake_pip(monkeypatch, b"")
    with pytest.raises(MissingDataError, match="the network is off"):
        wheels.ensure(PinnedWheel("invented", "1.0", "0" * 64), roots)
    assert calls == []


def test_pip_is_asked_for_the_exact_wheel_alone(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _fake_pip(monkeypatch, b"content")
    pinned = PinnedWheel("invented", "1.0", hashlib.sha256(b"content").hexdigest())
    online = dataclasses.replace(roots, offline=False)
    assert wheels.ensure(pinned, online).read_bytes() == b"content"
    assert wheels.ensure(pinned, online).read_bytes() == b"content"
    assert len(calls) == 1
    assert {"download", "--no-deps", "--only-binary=:all:", "invented==1.0"} <= set(calls[0])


@pytest.mark.parametrize(
    ("served", "error", "said"),
    [(b"other", CorruptDataError, "nothing was kept"), (None, MissingDataError, "no network")],
)
def test_what_pip_could_not_give_leaves_nothing(
    roots: Roots,
    monkeypatch: pytest.MonkeyPatch,
    served: bytes | None,
    error: type[Exception],
    said: str,
) -> None:
    _fake_pip(monkeypatch, served)
    online = dataclasses.replace(roots, offline=False)
    with pytest.raises(error, match=said):
        wheels.ensure(PinnedWheel("invented", "1.0", "0" * 64), online)
    assert not [p for p in roots.cache.rglob("*") if p.is_file()]
