"""Roots, pins, hashes and the lock."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smc_bench.errors import MissingDataError, ModelError, StoreError
from smc_bench.sources import pins
from smc_bench.sources.lock import Lock
from smc_bench.sources.pins import Pin, sha256_file, sha256_model_folder
from smc_bench.sources.roots import Roots

COMMIT = "0123456789" * 4


def test_roots_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SMC_BENCH_DATA_ROOT", "SMC_BENCH_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Roots.from_environment() == Roots(None, tmp_path / "xdg" / "smc-bench", False, True)
    monkeypatch.setenv("SMC_BENCH_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("SMC_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    # HF_HUB_OFFLINE closes the Hub alone; SMC_BENCH_OFFLINE the package registry as well.
    assert Roots.from_environment() == Roots(tmp_path / "data", tmp_path / "cache", True, True)
    assert not Roots.from_environment().registry_off
    monkeypatch.setenv("SMC_BENCH_OFFLINE", "1")
    assert Roots.from_environment().offline
    assert Roots.from_environment().registry_off
    given = Roots.from_environment(tmp_path / "d", tmp_path / "c", offline=False)
    assert given == Roots(tmp_path / "d", tmp_path / "c", False)


def test_the_default_cache_is_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SMC_BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Roots.from_environment().cache == tmp_path / ".cache" / "smc-bench"


def test_the_place_is_not_part_of_the_identity() -> None:
    here, there = (Pin("mirror", "sha256:ab", place) for place in ("/here", "/there"))
    assert here.identity == there.identity == "mirror:sha256:ab"


def _big(path: Path, byte: bytes = b"x") -> str:
    path.write_bytes(byte * pins._BIG)
    os.utime(path, ns=(10**18, 10**18))
    return hashlib.sha256(byte * pins._BIG).hexdigest()


def test_hashes_of_big_files_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, path = tmp_path / "cache", tmp_path / "big"
    expected = _big(path)
    assert sha256_file(path, cache) == expected
    monkeypatch.setattr(pins, "_digest", lambda _: "computed again")
    assert sha256_file(path, cache) == expected
    os.utime(path, ns=(10**18, 10**18 + 1))
    assert sha256_file(path, cache) == "computed again"


def test_content_that_changed_under_its_old_size_and_time_is_seen(tmp_path: Path) -> None:
    cache, path = tmp_path / "cache", tmp_path / "big"
    first = _big(path)
    assert sha256_file(path, cache) == first
    second = _big(path, b"y")  # as cp -p of another file would leave it
    assert second != first
    assert sha256_file(path, cache) == second


@pytest.mark.parametrize("content", ["{torn", "[]", '{"other": 3}'])
def test_a_damaged_cache_of_hashes_is_replaced(tmp_path: Path, content: str) -> None:
    cache, path = tmp_path / "cache", tmp_path / "big"
    cache.mkdir()
    (cache / "hashes.json").write_text(content)
    expected = _big(path)
    assert sha256_file(path, cache) == expected
    assert json.loads((cache / "hashes.json").read_text())[str(path)][-1] == expected


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    cache, path = tmp_path / "cache", tmp_path / "big"
    cache.write_text("a file where a folder should be")
    expected = _big(path)
    assert sha256_file(path, cache) == expected


def test_a_file_that_may_still_be_written_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * pins._BIG)
    sha256_file(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_model_folder_is_hashed_by_content(tmp_path: Path, model_files: dict[str, bytes]) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    for folder, names in zip(folders, (list(model_files), list(model_files)[::-1]), strict=True):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(model_files[name])
    first, second = map(sha256_model_folder, folders)
    assert first == second
    (folders[1] / "README.md").write_text("another")
    assert sha256_model_folder(folders[1]) == first
    (folders[1] / "vocab.txt").write_text("another")
    assert sha256_model_folder(folders[1]) != first


def test_a_folder_that_is_no_usable_model_says_why(
    tmp_path: Path, model_files: dict[str, bytes]
) -> None:
    with pytest.raises(MissingDataError, match=r"no config\.json"):
        sha256_model_folder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        sha256_model_folder(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    with pytest.raises(ModelError, match="not a valid index"):
        sha256_model_folder(tmp_path)
    shard = "model-00001-of-00001.safetensors"
    index.write_text(json.dumps({"weight_map": {"weight": shard}}))
    with pytest.raises(MissingDataError, match=shard):
        sha256_model_folder(tmp_path)
    (tmp_path / shard).write_bytes(model_files["model.safetensors"])
    assert len(sha256_model_folder(tmp_path)) == 64


def test_a_lock_is_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock.json"
    lock = Lock.load(path)
    assert lock.get("data", "nyu-mll/glue") is None
    lock.record("model", "owner/name@v1", COMMIT)
    lock.record("data", "nyu-mll/glue", COMMIT)
    assert json.loads(path.read_text()) == {
        "data": {"nyu-mll/glue": COMMIT},
        "model": {"owner/name@v1": COMMIT},
    }
    assert Lock.load(path) == lock
    assert [p.name for p in path.parent.iterdir()] == ["lock.json"]


def test_a_lock_keeps_what_another_process_recorded(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    first, second = Lock.load(path), Lock.load(path)
    first.record("data", "a/a", COMMIT)
    second.record("data", "b/b", COMMIT)
    assert set(Lock.load(path).entries) == {("data", "a/a"), ("data", "b/b")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{\n "data": {\n', ":3: not valid JSON"),
        ("[]", ":1: a lock is a JSON object"),
        ('{\n "data": {},\n "weights": {}\n}', ':3: "weights": only'),
        ('{\n "data": []\n}', ':2: "data": must map'),
        ('{\n "data": {\n  "a/b": "main"\n }\n}', ":3: \"a/b\": 'main' is not a commit"),
        ("\xff", ":1: not UTF-8"),
    ],
)
def test_a_damaged_lock_names_file_and_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "lock.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(StoreError) as caught:
        Lock.load(path)
    assert f"{path}{said}" in str(caught.value)
    assert path.read_bytes() == content.encode("latin-1")


def test_a_lock_takes_only_commits_and_says_when_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'main' is not a commit"):
        Lock(tmp_path / "lock.json").record("data", "a/b", "main")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be"):
        Lock(tmp_path / "file" / "lock.json").record("data", "a/b", COMMIT)


def test_importing_sources_loads_nothing_heavy() -> None:
    script = (
        "import sys; from smc_bench.sources import rows, weights; print(sorted({'torch', "
        "'transformers', 'datasets', 'huggingface_hub', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"data": {"a": ' + "9" * 5000 + "}}",
        f'{{"data": {{"a": "{COMMIT}", "a": "{"1" * 40}"}}}}',
    ],
)
def test_a_lock_too_deep_or_with_two_commits_for_one_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(StoreError, match=r"lock\.json:1: not valid JSON"):
        Lock.load(tmp_path / "lock.json")
