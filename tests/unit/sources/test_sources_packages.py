"""Models of packages: each row by itself, and, where a wheel is in the cache, what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from smc_bench.models.files import check_folder, has_tokenizer, read_object
from smc_bench.sources import Lock, Pin, Roots, weights, wheels
from smc_bench.sources.packages import MODELS, PackagedModel, row_of
from smc_bench.sources.wheels import PinnedWheel
from smc_bench.tasks.specs import SPECS


def test_rows_are_complete() -> None:
    for name, row in MODELS.items():
        assert len(row.wheel.sha256) == 64
        assert row.members.endswith("/")
        assert row.hub.count("/") == 1
        assert "model.safetensors" in row.files, name
        assert row.tokenizer is None or MODELS[row.tokenizer].tokenizer is None
        assert row.seen <= SPECS.keys()
    assert "dequantised 4-bit" in (MODELS["smollm2-135m"].note or "")


def test_a_row_belongs_to_a_pin() -> None:
    pin = f"wheel:sha256:{MODELS['smollm2-135m'].wheel.sha256}"
    assert row_of("smollm2-135m", pin) is MODELS["smollm2-135m"]
    assert row_of("smollm2-135m", "path:sha256:" + "0" * 64) is None  # a folder of that name
    assert row_of("owner/other", pin) is None


def test_a_wheel_is_converted_once_with_the_tokenizer_of_another(
    roots: Roots,
    tmp_path: Path,
    make_wheel: Callable[..., Path],
    model_files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Path] = []

    def convert(members: Path, folder: Path) -> None:
        calls.append(folder)
        content = (members / "weights.bin").read_bytes()
        (folder / "model.safetensors").write_bytes(content[::-1])
        (folder / "config.json").write_bytes(b"{}")

    def pinned(name: str, members: dict[str, bytes]) -> PinnedWheel:
        made = make_wheel(members, f"{name}-1.0-py3-none-any.whl")
        wheel = PinnedWheel(name, "1.0", hashlib.sha256(made.read_bytes()).hexdigest())
        wheels.stored(wheel, roots).parent.mkdir(parents=True, exist_ok=True)
        made.rename(wheels.stored(wheel, roots))
        return wheel

    whole = pinned("whole", {f"whole/model/{n}": c for n, c in model_files.items()})
    bare = pinned("bare", {"bare/data/weights.bin": b"abc"})
    digest = hashlib.sha256(b"cba").hexdigest()
    monkeypatch.setitem(weights.ALIASES, "a", PackagedModel(whole, "whole/model/", "o/a"))
    row = PackagedModel(
        bare, "bare/data/", "o/b", {"model.safetensors": digest}, convert, tokenizer="a"
    )
    monkeypatch.setitem(weights.ALIASES, "b", row)
    ref, lock = weights.ModelRef.parse("b"), Lock.load(tmp_path / "lock.json")
    pin = weights.fetch(ref, roots, lock)
    assert pin.identity == f"wheel:sha256:{bare.sha256}"
    folder = weights.folder(ref, pin, roots)
    assert (folder / "vocab.txt").read_bytes() == model_files["vocab.txt"]
    assert (folder / "model.safetensors").read_bytes() == b"cba"
    assert not (folder / "weights.bin").exists()
    assert len(calls) == 1
    (folder / "model.safetensors").write_bytes(b"other")  # made again from the wheel
    assert (weights.folder(ref, pin, roots) / "model.safetensors").read_bytes() == b"cba"
    assert len(calls) == 2
    assert weights.wheels_of(ref) == [bare, whole]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_wheel_of_the_cache_gives_the_pinned_model(name: str, tmp_path: Path) -> None:
    here = Roots.from_environment(offline=True)
    ref = weights.ModelRef.parse(name)
    for wheel in weights.wheels_of(ref):
        if not wheels.stored(wheel, here).is_file():
            pytest.skip(f"{wheel.filename} is not in the cache ({here.cache}): smc-bench fetch")
    if name == "smollm2-135m":
        pytest.importorskip("gguf", reason="converting GGUF needs the extra gguf")
    pin = weights.resolve(ref, here, Lock.load(tmp_path / "lock.json"), network=False)
    assert isinstance(pin, Pin)
    folder = weights.folder(ref, pin, here)  # compares hashes
    check_folder(folder)
    assert has_tokenizer(folder)
    assert "quantization_config" not in read_object(folder / "config.json")
