from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from smc_bench.store.artefacts import MADE, Artefacts
from smc_bench.store.files import read_json
from smc_bench.store.holder import holder


def no_pause() -> None:
    raise AssertionError("nobody else makes it")


def writer(text: str, calls: list[str] | None = None):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        if calls is not None:
            calls.append(text)
        (folder / "content").write_text(text)

    return make


def test_it_is_made_once_and_named_by_what_it_was_made_from(tmp_path: Path) -> None:
    calls: list[str] = []
    first = Artefacts(tmp_path).get("kind", {"a": 1, "b": 2}, writer("x", calls), no_pause)
    again = Artefacts(tmp_path).get("kind", {"b": 2, "a": 1}, writer("y", calls), no_pause)
    other = Artefacts(tmp_path).get("kind", {"a": 1, "b": 3}, writer("z", calls), no_pause)
    assert first == again != other
    assert calls == ["x", "z"]
    made = json.loads((first / MADE).read_text())
    assert made["files"] == {"content": hashlib.sha256(b"x").hexdigest()}


@pytest.mark.parametrize("damaged", ["content", MADE])
def test_a_damaged_one_is_made_again(tmp_path: Path, damaged: str) -> None:
    folder = Artefacts(tmp_path).get("kind", {}, writer("x"), no_pause)
    (folder / damaged).write_text("torn")
    calls: list[str] = []
    assert Artefacts(tmp_path).get("kind", {}, writer("x", calls), no_pause) == folder
    assert calls == ["x"]
    assert (folder / "content").read_text() == "x"


def test_several_at_once_make_it_once(tmp_path: Path) -> None:
    calls: list[str] = []
    waits = threading.Semaphore(0)

    def slow(folder: Path) -> None:
        calls.append("made")
        for _ in range(3):
            waits.acquire()  # the others are there, and wait
        (folder / "content").write_text("x")

    def want() -> None:
        Artefacts(tmp_path).get("kind", {}, slow, waits.release)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["made"]


def test_a_dead_maker_is_replaced_and_leaves_nothing(tmp_path: Path) -> None:
    final = Artefacts(tmp_path).path("kind", {})
    final.parent.mkdir(parents=True)
    claim = final.with_name(f".{final.name}.claim")
    claim.write_text(json.dumps(holder() | {"pid": 2**22 + 1, "born": 0.0}))
    assert Artefacts(tmp_path).get("kind", {}, writer("x"), no_pause) == final
    assert not claim.exists()


def test_a_failed_maker_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        Artefacts(tmp_path).get("kind", {}, fail, no_pause)
    assert list((tmp_path / "artefacts" / "kind").iterdir()) == []
    folder = Artefacts(tmp_path).get("kind", {}, writer("x"), no_pause)
    assert read_json(folder / MADE)["files"].keys() == {"content"}
