"""Models: how references are read, and folders and wheels that need no Hub."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from smc_bench.errors import CorruptDataError, MissingDataError, ModelError
from smc_bench.sources import weights, wheels
from smc_bench.sources.lock import Lock
from smc_bench.sources.packages import PackagedModel
from smc_bench.sources.roots import Roots
from smc_bench.sources.weights import ModelRef
from smc_bench.sources.wheels import PinnedWheel

COMMIT = "e" * 40


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    """A lock that is not on disk yet."""
    return Lock(tmp_path / "lock.json")


@pytest.fixture
def model(tmp_path: Path, model_files: dict[str, bytes]) -> Path:
    """A small model folder."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    for name, content in model_files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minilm-l6", ModelRef("wheel", "minilm-l6")),
        ("FacebookAI/roberta-large", ModelRef("hub", "FacebookAI/roberta-large")),
        ("bert-base-uncased", ModelRef("hub", "bert-base-uncased")),
        ("owner/name@refs/pr/3", ModelRef("hub", "owner/name", "refs/pr/3")),
        (f"owner/name@{COMMIT}", ModelRef("hub", "owner/name", COMMIT)),
    ],
)
def test_references_are_read_and_written(text: str, expected: ModelRef) -> None:
    assert ModelRef.parse(text) == expected
    assert str(ModelRef.parse(text)) == text


def test_a_folder_comes_before_the_hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent.parent)
    assert ModelRef.parse("models/tiny") == ModelRef("path", str(model))


@pytest.mark.parametrize("text", ["minilm-l7", "minilm_l6", "MiniLM-L6"])
def test_a_misspelt_alias_is_told_the_nearest(text: str) -> None:
    with pytest.raises(MissingDataError, match="Did you mean minilm-l6"):
        ModelRef.parse(text)


def test_a_path_that_is_not_there_is_told_its_neighbour(model: Path) -> None:
    with pytest.raises(MissingDataError, match=f"Did you mean {model}"):
        ModelRef.parse(str(model.with_name("tinny")))
    for text in ("/nowhere/at/all", "./missing", "a/b/c", "", "owner/name@"):
        with pytest.raises(MissingDataError, match="not a folder"):
            ModelRef.parse(text)


def test_a_folder_is_pinned_by_its_content(model: Path, roots: Roots, lock: Lock) -> None:
    ref = ModelRef.parse(str(model))
    pin = weights.resolve(ref, roots, lock, network=False)
    assert pin is not None
    assert pin.source == "path"
    assert pin == weights.fetch(ref, roots, lock)
    assert weights.folder(ref, pin, roots) == model
    (model / "config.json").write_text("{}")
    with pytest.raises(CorruptDataError, match="changed"):
        weights.folder(ref, pin, roots)


def test_a_folder_without_safetensors_is_refused(model: Path, roots: Roots, lock: Lock) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        weights.resolve(ModelRef.parse(str(model)), roots, lock, network=False)


def test_an_alias_is_unzipped_from_its_wheel(
    roots: Roots,
    lock: Lock,
    make_wheel: Callable[..., Path],
    model_files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = make_wheel({f"invented/model/{n}": c for n, c in model_files.items()})
    pinned = PinnedWheel("invented", "1.0", hashlib.sha256(made.read_bytes()).hexdigest())
    monkeypatch.setitem(
        weights.ALIASES, "minilm-l6", PackagedModel(pinned, "invented/model/", "invented/hub")
    )
    ref = ModelRef.parse("minilm-l6")
    with pytest.raises(MissingDataError, match=r"invented-1\.0"):
        weights.resolve(ref, roots, lock, network=True)
    wheels.stored(pinned, roots).parent.mkdir(parents=True)
    made.rename(wheels.stored(pinned, roots))
    pin = weights.fetch(ref, roots, lock)
    assert pin.identity == f"wheel:sha256:{pinned.sha256}"
    wheels.stored(pinned, roots).unlink()  # what was unzipped is enough
    assert weights.resolve(ref, roots, lock, network=False) == pin
    assert (weights.folder(ref, pin, roots) / "config.json").is_file()


def test_the_lock_pins_a_hub_model_without_asking(roots: Roots, lock: Lock) -> None:
    ref = ModelRef.parse("owner/never-fetched")
    online = dataclasses.replace(roots, offline=False)
    assert weights.resolve(ref, online, lock, network=False) is None
    lock.record("model", "owner/never-fetched", COMMIT)
    pin = weights.resolve(ref, online, lock, network=False)
    assert pin is not None
    assert pin.identity == f"hub:{COMMIT}"
    with pytest.raises(MissingDataError, match="owner/never-fetched was not found"):
        weights.resolve(ref, roots, lock, network=True)
    with pytest.raises(MissingDataError, match="owner/never-fetched was not found"):
        weights.folder(ref, pin, roots)


def test_a_full_commit_is_its_own_pin(roots: Roots, lock: Lock) -> None:
    ref = ModelRef.parse(f"owner/never-fetched@{COMMIT}")
    online = dataclasses.replace(roots, offline=False)
    pin = weights.resolve(ref, online, lock, network=False)
    assert pin is not None
    assert pin.value == COMMIT


@pytest.mark.parametrize(
    "name",
    ["added_tokens.json", "merges.txt", "sentencepiece.bpe.model", "weights-a.safetensors"],
)
def test_a_folders_pin_covers_every_file_that_may_be_read(
    name: str, model: Path, roots: Roots
) -> None:
    found = {weights.fetch(ModelRef.parse(str(model)), roots, Lock(model / "lock")).value}
    for content in ("one", "two"):
        (model / name).write_text(content)
        found.add(weights.fetch(ModelRef.parse(str(model)), roots, Lock(model / "lock")).value)
    assert len(found) == 3
    (model / "README.md").write_text("another")
    (model / "training_args.bin").write_text("another")
    found.add(weights.fetch(ModelRef.parse(str(model)), roots, Lock(model / "lock")).value)
    assert len(found) == 3


def test_relative_folders_are_found_from_the_file_that_names_them(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    suites = model.parent.parent / "suites"
    suites.mkdir()
    monkeypatch.chdir(tmp_path.parent)
    assert weights.located("../models/tiny", suites) == str(model)
    assert weights.located("models/tiny", model.parent.parent) == str(model)
    assert weights.located(str(model), suites) == str(model)
    for other in ("minilm-l6", "owner/name", "owner/name@main"):
        assert weights.located(other, suites) == other
    for absent in ("./tiny", "../models/tinny", "/nowhere/at/all", "~nobody/model"):
        with pytest.raises(MissingDataError, match=r"not a folder.*Looked for"):
            weights.located(absent, suites)


def test_a_cells_folder_is_known_to_this_machines_cache_alone(
    model: Path, roots: Roots, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(roots.cache.parent)
    pin = weights.resolve(ModelRef.parse(str(model)), roots, lock, network=False)
    assert pin is not None
    with pytest.raises(MissingDataError, match=r"\./tiny .*is not known here.*fetch"):
        weights.reference("./tiny", pin.identity, roots)
    weights.fetch(ModelRef.parse(str(model)), roots, lock)
    assert weights.reference("./tiny", pin.identity, roots) == ModelRef("path", str(model))
    assert weights.reference("owner/name", f"hub:{COMMIT}", roots) == ModelRef("hub", "owner/name")
