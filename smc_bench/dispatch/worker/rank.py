"""A rank above 0: trains a cell together with the main process and writes nothing itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from smc_bench.dispatch.failures import failure_of
from smc_bench.dispatch.worker.command import DONE, FAILED, INTERRUPTED
from smc_bench.dispatch.worker.context import Assignment, FolderContext
from smc_bench.engine.context import Progress
from smc_bench.errors import Interrupted, RankLostError

if TYPE_CHECKING:
    from smc_bench.engine.loss.distributed import Processes

_log = logging.getLogger(__name__)


class RankContext(FolderContext):
    """Inputs, and whether to stop; the lease, checkpoints and logs are the main process's."""

    def _open(self) -> None:
        """Nothing is written."""

    def _beat(self) -> None:
        """The lease is the main process's."""

    def progress(self, now: Progress) -> None:
        """Told by the main process."""


def assist(given: Assignment, processes: Processes) -> int:
    """Hear from the main process which attempt this is, and train with it; an exit code.

    A failure of this process alone is written here, because the main one only sees it gone.
    """
    word = processes.from_main(None)
    if "end" in word:
        return int(word["end"])
    attempt, folder = int(word["attempt"]), given.folder
    try:
        _train(given, attempt, word, processes)
    except Interrupted:
        return INTERRUPTED
    except RankLostError as error:
        _log.warning("process %d: %s", processes.index, error)
        return INTERRUPTED if given.stop.is_set() else FAILED
    except (Exception, MemoryError) as error:
        failure = failure_of(error, attempt)
        message = f"in process {processes.index}: {failure.message}"
        _log.error("%s\n%s", message, failure.traceback)
        if folder.is_current(attempt) and folder.state() != "done":
            folder.write_failure(failure.model_copy(update={"message": message}))
        return FAILED
    return DONE


def _train(given: Assignment, attempt: int, word: dict[str, Any], processes: Processes) -> None:
    import torch

    from smc_bench.engine.run import assist_cell

    torch.set_num_threads(int(word["threads"]))
    execution = given.execution.model_copy(update={"micro_batch": word["micro_batch"]})
    context = given.context(RankContext, attempt, execution)
    end_watch = context.watch(given.parent)
    try:
        assist_cell(context.cell, context, processes)
    finally:
        end_watch()
