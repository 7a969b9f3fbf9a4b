from __future__ import annotations

from pathlib import Path

from smc_bench.dispatch.local.retry import halve_micro_batch, spare_memory
from smc_bench.engine.execution import Execution
from smc_bench.store.files import read_json, write_json
from smc_bench.store.record import Failure
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.expand import Plan


def test_each_retry_halves_what_was_tried_last_down_to_one_row(plan: Plan, tmp_path: Path) -> None:
    folder, cell = CellFolder(tmp_path), next(iter(plan.cells.values()))
    assert cell.recipe.train.batch == 8
    assert [halve_micro_batch(folder, cell, Execution()) for _ in range(4)] == [4, 2, 1, 1]
    notes = read_json(tmp_path / "execution.json")["micro_batch_halved"]
    assert [(note["from"], note["to"]) for note in notes] == [(8, 4), (4, 2), (2, 1), (1, 1)]
    assert {note["why"] for note in notes} == {"out_of_memory"}


def test_what_the_first_attempt_fixed_stays(plan: Plan, tmp_path: Path) -> None:
    folder, cell = CellFolder(tmp_path), next(iter(plan.cells.values()))
    kept = {"execution": Execution(micro_batch=6).model_dump(), "threads": 3}
    write_json(tmp_path / "execution.json", kept)
    assert halve_micro_batch(folder, cell, Execution()) == 3
    after = read_json(tmp_path / "execution.json")
    assert after["threads"] == 3
    assert after["execution"]["checkpoint_every"] == kept["execution"]["checkpoint_every"]


def test_only_cells_that_lacked_memory_get_less(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    short, diverged, fresh = (store.folder(cell.folder) for cell in plan.cells.values())
    for folder, kind in ((short, "out_of_memory"), (diverged, "diverged")):
        failure = {"type": kind, "message": "", "attempt": 1, "time": "now"}
        folder.write_failure(Failure.model_validate(failure))
    spare_memory(store, plan.cells.values(), Execution())
    changed = [(folder.path / "execution.json").exists() for folder in (short, diverged, fresh)]
    assert changed == [True, False, False]
