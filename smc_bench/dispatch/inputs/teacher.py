"""A finished teacher's logits on a few of the rows that its students distil from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources import Lock, Roots, rows
from smc_bench.store.reading import check_weights
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.tasks.base import Encoding
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.specs import SPECS


def teacher_logits(
    cell: Cell, store: Store, roots: Roots, count: int
) -> Sequence[tuple[NDArray[np.float32], ...]]:
    """Logits of a finished dense cell on up to ``count`` rows of its training split.

    Raises:
        MissingDataError: If the cell has not finished, or its weights or rows are not there.
        CorruptDataError: If the rows are not those that it was trained on, or the weights not
            those that its record names.
    """
    from smc_bench.engine.outputs import outputs_of, trained_rows

    if get_task(cell.task.name).head == "language_modelling":
        raise MissingDataError(
            f"{cell.task.name}: nothing is drawn of a language model's logits, over a whole "
            "vocabulary at each token: name another task with --only task=…"
        )

    folder = store.folder(cell.folder)
    record = folder.record()
    if record is None:
        raise MissingDataError(
            f"the teacher of {cell.task.name} ({cell.id}) has not finished: run the suite with "
            "--only arm=dense (and the same --profile) first"
        )
    weights = folder.path / "weights"
    if not weights.is_dir():
        raise MissingDataError(f"{weights} is not there: run the teacher again with --force")
    check_weights(weights, record)
    spec, task = SPECS[cell.task.name], cell.task
    lock = Lock.load(store.root / "lock.json")
    pin = rows.resolve(spec, task.config, task.train_split, roots, lock, network=False)
    if pin is None or pin.identity != cell.data_pins[task.train_split]:
        raise CorruptDataError(
            f"{task.name}/{task.train_split}: these are not the rows that {cell.id} was trained on"
        )
    all_rows = rows.load(spec, task.config, task.train_split, pin, roots)
    chosen = trained_rows(all_rows, cell.recipe.train.rows, count)
    return outputs_of(weights, task.name, Encoding(task.max_length, task.stride), chosen)
