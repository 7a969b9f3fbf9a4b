from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from smc_bench.errors import StoreError
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


def _content_changed(folder: Path) -> None:
    (folder / "content").write_text("torn")


def _content_gone(folder: Path) -> None:
    (folder / "content").unlink()


def _content_a_folder(folder: Path) -> None:
    (folder / "content").unlink()
    (folder / "content").mkdir()


def _made_gone(folder: Path) -> None:
    (folder / MADE).unlink()


def _made_a_folder(folder: Path) -> None:
    (folder / MADE).unlink()
    (folder / MADE).mkdir()


def _made_says(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / MADE).write_text(text)


def _of_another_key(folder: Path) -> None:
    made = read_json(folder / MADE)
    (folder / MADE).write_text(json.dumps(made | {"key": {"a": 2}}))


def _a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("in the way")


@pytest.mark.parametrize(
    "damage",
    [
        _content_changed,
        _content_gone,
        _content_a_folder,
        _made_gone,
        _made_a_folder,
        _of_another_key,
        _a_file,
        *map(
            _made_says,
            (
                *("", "torn", "null", "[]", "3", '"x"', "{}", '{"files": {}}', '{"files": 3}'),
                *('{"files": ["content"]}', '{"files": {"content": null}}', "\x00", "[" * 9000),
            ),
        ),
    ],
)
def test_a_damaged_one_is_made_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = Artefacts(tmp_path).get("kind", {"a": 1}, writer("x"), no_pause)
    damage(folder)
    calls: list[str] = []
    assert Artefacts(tmp_path).get("kind", {"a": 1}, writer("x", calls), no_pause) == folder
    assert calls == ["x"]
    assert (folder / "content").read_text() == "x"
    assert Artefacts(tmp_path).get("kind", {"a": 1}, writer("y", calls), no_pause) == folder
    assert calls == ["x"]


def test_what_never_reads_back_as_written_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smc_bench.store.artefacts._as_made", lambda *_: False)
    with pytest.raises(StoreError, match="made 3 times"):
        Artefacts(tmp_path).get("kind", {}, writer("x"), no_pause)


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
