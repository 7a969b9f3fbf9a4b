"""Tars of finished cells: those that are not whole, or not safe, bring nothing."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from smc_bench.errors import StoreError
from tests.helpers.carried import (
    ONE,
    TWO,
    WEIGHTS,
    bring,
    finish,
    tar_of,
    whats,
)


@pytest.mark.parametrize("name", ["../{}", "/{}", "a/../../{}", "results/cells/../../../{}"])
def test_a_tar_that_leads_outside_is_refused_whole(tmp_path: Path, name: str) -> None:
    there = tmp_path / "there"
    folder = finish(there, ONE).path
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(there, "results")
        inside = name.format(f"sst2/{folder.name}/record.json")
        text = b"{}"
        member = tarfile.TarInfo(inside)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    with pytest.raises(StoreError, match="leads out of the tar"):
        bring(tmp_path / "x.tar", tmp_path / "here")
    assert list((tmp_path / "here").rglob("*")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo(f"results/cells/sst2/x-{ONE.id}/record.json")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(member)
    with pytest.raises(StoreError, match="link or a device"):
        bring(tmp_path / "x.tar", tmp_path / "here")


@pytest.mark.parametrize("size", [0, 10, 600])
def test_a_torn_tar_is_refused_and_brings_nothing(tmp_path: Path, size: int) -> None:
    finish(tmp_path / "there", ONE)
    path = tar_of(tmp_path / "there", tmp_path / "x.tgz")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreError, match=r"x\.tgz"):
        bring(path, tmp_path / "here")
    assert list((tmp_path / "here").rglob("*")) == []


def test_a_tar_that_lacks_cells_without_a_torn_one_is_refused(tmp_path: Path) -> None:
    """Cut between two cells, or joined to another: both read as whole, with cells lost."""
    finish(tmp_path / "one", ONE)
    finish(tmp_path / "two", TWO)
    parts = []
    for name in ("one", "two"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.add(tmp_path / name, name)
        parts.append((tmp_path / f"{name}.tar").read_bytes())
    with tarfile.open(tmp_path / "one.tar") as tar:
        end = max(m.offset_data + -(-m.size // 512) * 512 for m in tar)
    (tmp_path / "cut.tar").write_bytes(parts[0][:end])
    with pytest.raises(StoreError, match=r"cut\.tar: its end is missing"):
        bring(tmp_path / "cut.tar", tmp_path / "here")
    (tmp_path / "joined.tar").write_bytes(b"".join(parts))
    with pytest.raises(StoreError, match=r"joined\.tar: there is more after its end"):
        bring(tmp_path / "joined.tar", tmp_path / "here")
    (tmp_path / "short.tar").write_bytes(parts[0][: end + 1024])  # without the last padding
    assert whats(bring(tmp_path / "short.tar", tmp_path / "here")) == {ONE.id: "added"}


def test_a_tar_brings_weights_too(tmp_path: Path) -> None:
    finish(tmp_path / "there", ONE, weights=True)
    path = tar_of(tmp_path / "there", tmp_path / "x.tgz")
    assert whats(bring(path, tmp_path / "here", weights=True)) == {ONE.id: "added"}
    names = {p.name for p in (tmp_path / "here").rglob("weights/*")}
    assert names == set(WEIGHTS)
