from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from smc_bench.dispatch.worker.context import Assignment
from smc_bench.engine.execution import Execution
from smc_bench.errors import StoreError
from smc_bench.sources import Roots
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE


@pytest.mark.parametrize("version", [1, 2, 3])
def test_cells_that_an_older_version_planned_are_not_run(version: int, tmp_path: Path) -> None:
    """Such as those of a bundle made before an update: their ids stand for other numbers."""
    store = Store(tmp_path)
    cell = Cell.model_validate(BASE | {"identity_version": version})
    folder = store.folder(cell.folder)
    folder.path.mkdir(parents=True)
    (folder.path / "cell.json").write_text(json.dumps(cell.model_dump(mode="json")))
    roots = Roots.from_environment(tmp_path, tmp_path / "cache")
    given = Assignment(store, folder, roots, Execution(), None, threading.Event())
    if version == 3:
        assert given.cell() == cell
        return
    with pytest.raises(StoreError, match=f"identity {version}, here 3"):
        given.cell()
