"""Models in caches that were changed since they were fetched."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources import Lock, Pin, Roots, hub, rows, weights, wheels
from smc_bench.sources.packages import PackagedModel
from smc_bench.sources.unchanged import check_snapshot
from smc_bench.sources.weights import ModelRef
from smc_bench.sources.wheels import PinnedWheel
from smc_bench.tasks.specs import SPECS


def git_hash(path: Path) -> str:
    done = subprocess.run(
        ["git", "hash-object", "--no-filters", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def snapshot(tmp_path: Path, model_files: dict[str, bytes]) -> Path:
    """A model as the Hub's cache holds it: links to blobs, big ones by SHA-256, others by git's."""
    repo = tmp_path / "models--owner--tiny"
    folder = repo / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for name, content in model_files.items():
        made = tmp_path / "made"
        made.write_bytes(content)
        big = name.endswith(".safetensors")
        blob = repo / "blobs" / (hashlib.sha256(content).hexdigest() if big else git_hash(made))
        made.rename(blob)
        (folder / name).symlink_to(Path("../../blobs") / blob.name)
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
@pytest.mark.parametrize("how", ["flipped", "torn"])
def test_a_hub_model_is_read_as_its_commit_has_it(
    snapshot: Path, tmp_path: Path, name: str, how: str
) -> None:
    check_snapshot(snapshot, tmp_path / "cache")
    blob = (snapshot / name).resolve()
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] if how == "torn" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(CorruptDataError, match=name) as caught:
        check_snapshot(snapshot, tmp_path / "cache")
    assert str(snapshot.parents[1]) in str(caught.value)


def test_files_that_are_not_read_and_plain_ones_are_taken_as_they_are(
    snapshot: Path, tmp_path: Path
) -> None:
    (snapshot / "README.md").resolve().write_text("other")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").write_text("{}")
    check_snapshot(snapshot, tmp_path / "cache")


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_an_unpacked_wheel_that_was_changed_is_unzipped_anew(
    roots: Roots,
    tmp_path: Path,
    make_wheel: Callable[..., Path],
    model_files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    made = make_wheel({f"invented/model/{n}": c for n, c in model_files.items()})
    pinned = PinnedWheel("invented", "1.0", hashlib.sha256(made.read_bytes()).hexdigest())
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in model_files.items()}
    row = PackagedModel(pinned, "invented/model/", "invented/hub", digests)
    monkeypatch.setitem(weights.ALIASES, "minilm-l6", row)
    stored = wheels.stored(pinned, roots)
    stored.parent.mkdir(parents=True)
    made.rename(stored)
    ref, lock = ModelRef.parse("minilm-l6"), Lock.load(tmp_path / "lock.json")
    pin = weights.fetch(ref, roots, lock)
    file = weights.folder(ref, pin, roots) / "model.safetensors"
    file.unlink()
    if damage == "changed":
        file.write_bytes(b"other weights")
    assert weights.folder(ref, pin, roots) == file.parent
    assert file.read_bytes() == model_files["model.safetensors"]
    file.write_bytes(b"other weights")
    stored.unlink()
    with pytest.raises(MissingDataError, match=pinned.filename):  # nothing to make it from
        weights.folder(ref, pin, roots)


def test_fetched_rows_are_read_as_they_were_kept(roots: Roots, tmp_path: Path) -> None:
    spec = SPECS["sst2"]
    assert spec.hub is not None
    path = hub.rows_file(spec.hub, "1" * 40, "sst2", "train", roots)
    path.parent.mkdir(parents=True)
    table = pa.Table.from_pylist([{"sentence": "good", "label": 1, "idx": 0}])
    pq.write_table(table, path)
    pin = Pin("hub", "1" * 40, "")
    assert rows.load(spec, "sst2", "train", pin, roots) == table.to_pylist()  # kept without a hash
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("train.parquet.sha256").write_text(f"{digest}\n")
    assert rows.load(spec, "sst2", "train", pin, roots) == table.to_pylist()
    pq.write_table(pa.Table.from_pylist([{"sentence": "good", "label": 0, "idx": 0}]), path)
    with pytest.raises(CorruptDataError, match=r"train\.parquet changed"):
        rows.load(spec, "sst2", "train", pin, roots)
