from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smc_bench.engine.checkpoint import load_checkpoint
from smc_bench.errors import DamagedError
from smc_bench.store.checkpoints import HASHES, drop_damaged
from smc_bench.store.store import CellFolder
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer


def committed(cell: CellFolder, step: int) -> Path:
    folder = cell.path / "checkpoints" / "001" / f".step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(b"tensors" * 100)
    (folder / "state.json").write_text('{"step": 1}')
    cell.commit_checkpoint(folder)
    return folder.with_name(f"step-{step:08d}")


def _flip(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def _tear(folder: Path) -> None:
    (folder / "state.json").write_text("{")


def _lose(folder: Path) -> None:
    (folder / "state.json").unlink()


def _no_hash(folder: Path) -> None:
    (folder / HASHES).write_text("{")


@pytest.mark.parametrize("damage", [_flip, _tear, _lose, _no_hash])
def test_a_damaged_checkpoint_is_not_trained_on(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    cell = CellFolder(tmp_path / "cell")
    assert cell.claim() == 1
    path = committed(cell, 7)
    assert drop_damaged(cell.path / "checkpoints") == []
    cell.end_attempt(1, "interrupted")
    assert cell.claim() == 2
    assert cell.newest_checkpoint(2) is not None  # linked into the second attempt's folder
    damage(path)
    linked = path.parents[1] / "002" / path.name
    dropped = drop_damaged(cell.path / "checkpoints")
    # Bytes changed in place change under both names; a name that goes, goes alone.
    assert dropped == ([path] if damage is _lose else [path, linked])
    assert (cell.newest_checkpoint(2) is None) == (damage is not _lose)


def test_checkpoints_of_before_there_were_hashes_stay(tmp_path: Path) -> None:
    cell = CellFolder(tmp_path / "cell")
    path = committed(cell, 7)
    (path / HASHES).unlink()
    assert drop_damaged(cell.path / "checkpoints") == []


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x08" * 100])
def test_one_that_can_not_be_read_is_no_bug(tmp_path: Path, name: str, content: bytes) -> None:
    run = trainer(tiny_classifier(), recipe(), 0.5, MemoryContext(tmp_path))
    folder = tmp_path / "state"
    folder.mkdir()
    run.write(folder)
    load_checkpoint(folder, run.raw, run.optimizer, run.pruner)
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedError, match=str(folder)):
        load_checkpoint(folder, run.raw, run.optimizer, run.pruner)
