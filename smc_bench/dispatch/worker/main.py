"""One attempt at one cell, in a process of its own: ``python -m smc_bench.dispatch.worker.main``.

Exit codes: 0 done, 1 failed (failure.json says why), 3 someone else has the cell, 4 interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from smc_bench.dispatch.failures import failure_of
from smc_bench.dispatch.niceness import share_niceness
from smc_bench.dispatch.worker.command import (
    DONE,
    FAILED,
    INTERRUPTED,
    TAKEN,
    WorkerSpec,
    visible_gpus,
    worker_parser,
)
from smc_bench.dispatch.worker.context import Assignment, FolderContext
from smc_bench.dispatch.worker.execution import fix_execution
from smc_bench.dispatch.worker.launcher import ProcessGroup, launched, size
from smc_bench.dispatch.worker.memory import MemoryWatch
from smc_bench.dispatch.worker.rank import assist
from smc_bench.dispatch.worker.serve import serve
from smc_bench.engine.context import SplitScores
from smc_bench.engine.outcome import CellOutcome
from smc_bench.environment import asked_threads, clean
from smc_bench.errors import Interrupted, RankLostError, SmcBenchError
from smc_bench.plugins import load_plugins
from smc_bench.sources import Roots
from smc_bench.sources.packages import row_of
from smc_bench.store.files import read_json
from smc_bench.store.provenance import provenance
from smc_bench.store.record import SCHEMA_VERSION, PeakMemory, Record
from smc_bench.store.store import CellFolder, now
from smc_bench.suite.cell import Cell

if TYPE_CHECKING:
    from smc_bench.engine.loss.distributed import Processes

# Not by __name__, which is __main__ here.
_log = logging.getLogger("smc_bench.dispatch.worker.main")
_TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and attempt the cell, or the cells that standard input names."""
    words = sys.argv[1:] if arguments is None else arguments
    given = worker_parser().parse_args(words)
    # Before torch is loaded, which reads it. A worker of this package has nothing to lose here.
    clean(os.environ, launched=launched() > 1)
    _log_to_stderr()
    share_niceness()
    spec = WorkerSpec.from_options(given)
    load_plugins(spec.include)
    if given.folder is not None:
        return _attempt(spec, given.folder, given.parent)
    return serve(lambda folder: _attempt(spec, folder, given.parent), spec.store)


def _log_to_stderr() -> None:
    """Send what this package logs to standard error, which is the cell's log; once a process."""
    package = logging.getLogger("smc_bench")
    if not package.handlers:
        package.addHandler(logging.StreamHandler())
    package.setLevel(logging.INFO)


def _attempt(spec: WorkerSpec, relative: str, parent: int | None) -> int:
    """One attempt at the cell of a folder, in this process or in several."""
    stop = threading.Event()
    # First of all: until then these signals would end the process without a word.
    for number in _TOLD_TO_STOP:
        signal.signal(number, lambda *_: stop.set())
    store = spec.store
    folder = store.folder(relative)
    together = launched() > 1
    count = 1 if together else size(folder, spec.processes)
    if count > 1:
        return ProcessGroup(folder, count, [relative, *spec.to_argv()]).run(parent, stop)
    roots = Roots.from_environment(spec.data_root, spec.cache)
    assignment = Assignment(store, folder, roots, spec.execution, parent, stop)
    if not together:
        return attempt_cell(assignment)
    from smc_bench.engine.loss.distributed import join

    # While they meet, Python does not get to its own handlers; and there is nothing to save yet.
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in _TOLD_TO_STOP}
    processes = join()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if processes.main:
        return attempt_cell(assignment, processes)
    return assist(assignment, processes)


def attempt_cell(given: Assignment, processes: Processes | None = None) -> int:
    """Claim a cell and run it to a record or a typed failure; in the main process."""
    folder = given.folder
    attempt = folder.claim()
    if attempt is None:
        code = {"done": DONE, "damaged": FAILED}.get(folder.state(), TAKEN)
        if processes is not None:
            processes.from_main({"end": code})
        return code
    try:
        return _run(given, attempt, processes)
    except Interrupted as error:
        _log.info("%s", error)
        folder.end_attempt(attempt, "interrupted")
        return INTERRUPTED
    except (Exception, MemoryError) as error:
        if folder.state() == "done":
            _log.info("another attempt has finished this cell (%s)", error)
            return DONE
        _fail(folder, attempt, error)
        return FAILED


def _fail(folder: CellFolder, attempt: int, error: BaseException) -> None:
    failure = failure_of(error, attempt)
    _log.error("%s", failure.traceback)
    if not folder.is_current(attempt):
        return
    # On a full disk the room that this attempt took is what its last words need.
    folder.discard_unfinished(attempt)
    said = folder.failure() if isinstance(error, RankLostError) else None
    if said is not None and said.attempt == attempt:
        failure = said  # by the process that is gone, which knows why
    else:
        folder.write_failure(failure)
    folder.end_attempt(attempt, failure.type)


def _run(given: Assignment, attempt: int, processes: Processes | None) -> int:
    import torch

    from smc_bench.engine.loss.distributed import ALONE
    from smc_bench.engine.run import run_cell

    processes = processes or ALONE
    cell, folder = given.cell(), given.folder
    # More than the cores that torch sees are taken only when it is told so.
    torch.set_num_threads(asked_threads(os.environ) or torch.get_num_threads())
    execution = fix_execution(folder, cell.recipe.train.batch, given.execution, processes.count)
    context = given.context(FolderContext, attempt, execution)
    threads = torch.get_num_threads()
    processes.from_main(
        {"attempt": attempt, "micro_batch": execution.micro_batch, "threads": threads}
    )
    end_watch = context.watch(given.parent)
    started = now()
    try:
        if not torch.cuda.is_available() and visible_gpus():
            _log.warning(
                "GPUs were given to this cell, but torch %s sees none: it trains on the CPU. "
                "smc-bench doctor --gpu says more",
                torch.__version__,
            )
        memory = MemoryWatch(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        outcome = run_cell(cell, context, processes)
        end_watch()
        fixed = read_json(folder.path / "execution.json")
        record = _record(cell, outcome, attempt, started, fixed, memory.read())
        splits = {name: _by_row(scores) for name, scores in outcome.splits.items()}
        folder.finish(record, splits, context.partial)
        folder.end_attempt(attempt, "done")
        context.trackers.finish(_finals(outcome), outcome.total_steps)
    finally:
        end_watch()
        context.trackers.close()
    return DONE


def _by_row(scores: SplitScores) -> dict[str, Any]:
    """Results by example as they are stored; weights only where rows do not count alike."""
    found = asdict(scores)
    if not scores.weights:
        del found["weights"]
    return found


def _finals(outcome: CellOutcome) -> dict[str, float]:
    """Final values for trackers: metrics in percent, measured sparsity 0..1."""
    measured = outcome.sparsity
    shares = {"scope": measured.scope, "encoder": measured.encoder, "model": measured.model}
    return {**outcome.metrics, **{f"{key}_sparsity": n.share for key, n in shares.items()}}


def _record(
    cell: Cell,
    outcome: CellOutcome,
    attempt: int,
    started: str,
    execution: dict[str, Any],
    memory: PeakMemory,
) -> Record:
    pins = {**cell.data_pins, "model": cell.model_pin}
    row = row_of(cell.model, cell.model_pin)
    return Record(
        **outcome.model_dump(),
        schema_version=SCHEMA_VERSION,
        cell_id=cell.id,
        cell=cell.model_dump(mode="json"),
        reportable=cell.limit is None,
        attempt=attempt,
        started=started,
        finished=now(),
        execution=execution,
        memory=memory,
        provenance={
            **provenance(pins),
            **({"model_note": row.note} if row and row.note else {}),
            **_gpu(outcome.device),
        },
    )


def _gpu(device: str) -> dict[str, str]:
    """Name of the GPU that a cell was trained on, which its seconds are of."""
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name(device)}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SmcBenchError, OSError) as problem:
        print(problem, file=sys.stderr)
        sys.exit(FAILED)
