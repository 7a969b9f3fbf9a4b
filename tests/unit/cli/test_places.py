from __future__ import annotations

import pytest

from smc_bench.cli.run import _places


@pytest.mark.parametrize(
    ("gpus", "per_cell", "cells"),
    [(0, 2, 0), (1, 2, 1), (2, 2, 1), (3, 2, 1), (4, 2, 2), (7, 3, 2), (3, 1, 3)],
)
def test_no_gpu_is_shared_by_cells_that_train_on_several(
    gpus: int, per_cell: int, cells: int
) -> None:
    assert len(_places(tuple(map(str, range(gpus))), per_cell)) == cells
