"""The end of a run whose cells share prefixes: what that was worth, and room for others."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

from smc_bench.errors import StoreError
from smc_bench.store.clean import remove, shared_prefixes
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell

_log = logging.getLogger(__name__)


def end_sharing(store: Store, reused: Mapping[str, int], cells: Mapping[str, Cell]) -> None:
    """Say how many steps were reused, and remove shared prefixes that nothing waits for.

    Args:
        store: Results.
        reused: Steps that cells could take from another one, by id.
        cells: All cells of the run.
    """
    with suppress(OSError, StoreError):  # neither word nor room is worth the run
        folders = [store.folder(cells[key].folder) for key in reused if key in cells]
        finished = [record for folder in folders if (record := folder.record()) is not None]
        total = sum(record.total_steps for record in finished)
        if total:  # after an early stop there is nothing to say
            steps = sum(record.prefix_steps for record in finished)
            text = "shared prefix: %d of %d steps of the cells that share one were reused"
            _log.info(text, steps, total)
        if finished and len(finished) == len(reused):
            remove(shared_prefixes(store))
