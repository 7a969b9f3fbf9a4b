"""A name that nobody has taken, on file systems with and without hard links."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from smc_bench.errors import StoreError
from smc_bench.store import exclusive, files
from smc_bench.store.files import adopt, create_json, read_json, sync_folder, write_json
from smc_bench.store.store import CellFolder, Store

REFUSALS = ("EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EACCES", "EMLINK", "EINVAL")


def refuse(number: int) -> object:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture(params=["link", "rename", "create"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the three ways, where it is the only one that the file system has."""
    name: str = request.param
    if name != "link":
        monkeypatch.setattr(exclusive.os, "link", refuse(errno.EPERM))
    if name == "create":
        monkeypatch.setattr(exclusive, "_renameat2", lambda: None)
    elif name == "rename" and exclusive._renameat2() is None:
        pytest.skip("this C library has no renameat2")
    return name


def test_one_of_many_writers_wins_and_nobody_sees_half_a_file(way: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    start = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        start.wait()
        if create_json(path, {"writer": number, "load": "x" * 5000}):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read_json(path)["writer"]] == won
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_taken_name_is_never_replaced(way: str, tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    assert create_json(path, {"a": 1})
    assert not create_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["lease.json"]


@pytest.mark.parametrize("name", REFUSALS)
def test_whatever_a_file_system_answers_that_has_no_links(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive.os, "link", refuse(getattr(errno, name)))
    monkeypatch.setattr(
        exclusive, "_by_rename", refuse(errno.EINVAL)
    )  # FUSE and NFS answer so to flags
    Store(tmp_path).check_writable()
    cell = Store(tmp_path).folder("sst2/x-1")
    assert cell.claim() == 1
    assert cell.claim() is None
    assert cell.state() == "running"


def test_a_real_fault_is_no_reason_to_try_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive.os, "link", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        create_json(tmp_path / "lease.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_names_are_not_exclusive_is_refused_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(temporary: Path, path: Path) -> bool:
        temporary.replace(path)
        return True

    monkeypatch.setattr(files, "put", careless)
    with pytest.raises(StoreError, match="two writers get the same name"):
        Store(tmp_path).check_writable()
    assert list((tmp_path / "cells").iterdir()) == []


def test_a_checkpoint_is_adopted_by_a_copy_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "link", refuse(errno.ENOTSUP))
    monkeypatch.setattr(os, "chmod", refuse(errno.EPERM))  # nor modes
    source = tmp_path / "source"
    (source / "deeper").mkdir(parents=True)
    (source / "state").write_text("x")
    (source / "deeper" / "more").write_text("y")
    target = adopt(source, tmp_path / "target")
    assert (target / "state").read_text() == "x"
    assert (target / "deeper" / "more").read_text() == "y"


def test_a_file_system_that_can_not_flush_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def picky(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(files.os, "fsync", picky)
    (tmp_path / "state").write_text("x")
    sync_folder(tmp_path)
    monkeypatch.setattr(files.os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_folder(tmp_path)


@pytest.fixture(params=[0o022, 0o027, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_is_kept_has_the_mode_that_the_umask_asks_for(umask: int, tmp_path: Path) -> None:
    cell = CellFolder(tmp_path / "cell")
    assert cell.claim() == 1
    step = cell.path / "checkpoints" / "001" / ".step-00000001"
    step.mkdir(parents=True)
    (step / "state").touch(0o600)  # as safetensors leaves its files
    cell.commit_checkpoint(step)
    write_json(tmp_path / "x.json", {})
    for path in tmp_path.rglob("*"):
        whole = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == whole & ~umask, path
