from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smc_bench.dispatch.worker.execution import fix_execution
from smc_bench.engine.execution import Execution
from smc_bench.store.files import read_json
from smc_bench.store.store import CellFolder


@pytest.fixture
def folder(tmp_path: Path) -> CellFolder:
    return CellFolder(tmp_path)


def kept(folder: CellFolder) -> dict[str, object]:
    found = read_json(folder.path / "execution.json")
    assert isinstance(found, dict)
    return found


def test_the_first_attempt_fixes_micro_batch_threads_and_processes(folder: CellFolder) -> None:
    first = fix_execution(folder, 32, Execution(micro_batch=8, checkpoint_every="1s"), 1)
    assert first.micro_batch == 8
    later = fix_execution(folder, 32, Execution(micro_batch=4, checkpoint_every="2s"), 1)
    assert (later.micro_batch, later.checkpoint_every) == (8, "2s")
    assert kept(folder)["threads"] == torch.get_num_threads()
    assert kept(folder)["processes"] == 1


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "expected"),
    [(32, None, 1, None), (32, None, 2, 16), (32, None, 3, 11), (32, 8, 2, 8), (2, None, 4, 1)],
)
def test_every_process_has_its_share_of_a_batch(
    folder: CellFolder, batch: int, micro: int | None, processes: int, expected: int | None
) -> None:
    execution = fix_execution(folder, batch, Execution(micro_batch=micro), processes)
    assert execution.micro_batch == expected


def test_another_number_of_processes_is_noted(
    folder: CellFolder, caplog: pytest.LogCaptureFixture
) -> None:
    fix_execution(folder, 32, Execution(), 2)
    assert caplog.text == ""
    assert fix_execution(folder, 32, Execution(), 1).micro_batch == 16
    assert "goes on with 1 processes, not the 2 of before" in caplog.text
    fix_execution(folder, 32, Execution(), 1)
    (note,) = kept(folder)["processes_changed"]  # type: ignore[misc]
    assert (note["from"], note["to"], kept(folder)["processes"]) == (2, 1, 1)
