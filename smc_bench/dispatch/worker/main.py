"""One attempt at one cell, in a process of its own: ``python -m smc_bench.dispatch.worker.main``.

Exit codes: 0 done, 1 failed (failure.json says why), 3 someone else has the cell, 4 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from smc_bench.dispatch.failures import failure_of
from smc_bench.dispatch.niceness import share_niceness
from smc_bench.dispatch.worker.command import DONE, FAILED, INTERRUPTED, TAKEN
from smc_bench.dispatch.worker.context import Assignment, FolderContext
from smc_bench.dispatch.worker.execution import keep
from smc_bench.dispatch.worker.launcher import Team, launched, size
from smc_bench.dispatch.worker.rank import assist
from smc_bench.dispatch.worker.serve import serve
from smc_bench.engine.context import CellOutcome
from smc_bench.engine.recipe import Execution
from smc_bench.environment import asked_threads, clean
from smc_bench.errors import Interrupted, PeerLostError, SmcBenchError
from smc_bench.plugins import load_plugins
from smc_bench.sources import Roots
from smc_bench.store.files import read_json
from smc_bench.store.provenance import provenance
from smc_bench.store.record import SCHEMA_VERSION, Record
from smc_bench.store.store import CellFolder, Store, now
from smc_bench.suite.cell import Cell

if TYPE_CHECKING:
    from smc_bench.engine.loss.distributed import Processes

_TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and attempt the cell, or the cells that standard input names."""
    words = sys.argv[1:] if arguments is None else arguments
    given = _parser().parse_args(words)
    # Before torch is loaded, which reads it. A worker of this package has nothing to lose here.
    clean(os.environ, launched=launched() > 1)
    share_niceness()
    load_plugins(given.include)
    if given.folder is not None:
        return _attempt(given, given.folder, words)
    return serve(lambda folder: _attempt(given, folder, [folder, *words]), Store(given.results))


def _attempt(given: argparse.Namespace, relative: str, words: list[str]) -> int:
    """One attempt at the cell of a folder, in this process or in several."""
    stop = threading.Event()
    # First of all: until then these signals would end the process without a word.
    for number in _TOLD_TO_STOP:
        signal.signal(number, lambda *_: stop.set())
    store = Store(given.results)
    folder = store.folder(relative)
    together = launched() > 1
    count = 1 if together else size(folder, given.processes)
    if count > 1:
        return Team(folder, count, words).run(given.parent, stop)
    roots = Roots.from_environment(given.data_root, given.cache)
    execution = Execution.model_validate_json(given.execution)
    assignment = Assignment(store, folder, roots, execution, given.parent, stop)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smc_bench.dispatch.worker.main", description=__doc__)
    help_folder = "the cell's folder below RESULTS/cells; without one, see dispatch/worker/serve.py"
    parser.add_argument("folder", nargs="?", help=help_folder)
    parser.add_argument("--results", required=True, type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    parser.add_argument("--execution", default="{}", help="JSON, kept from the first attempt on")
    parser.add_argument("--include", action="append", default=[], type=Path, help="plug-in file")
    parser.add_argument("--processes", type=int, help="train in so many; one GPU each")
    return parser


def attempt_cell(given: Assignment, processes: Processes | None = None) -> int:
    """Claim a cell and run it to a record or a typed failure; the main process's part."""
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
        print(error, file=sys.stderr)
        folder.end_attempt(attempt, "interrupted")
        return INTERRUPTED
    except (Exception, MemoryError) as error:
        if folder.state() == "done":
            print(f"another attempt has finished this cell ({error})", file=sys.stderr)
            return DONE
        _fail(folder, attempt, error)
        return FAILED


def _fail(folder: CellFolder, attempt: int, error: BaseException) -> None:
    failure = failure_of(error, attempt)
    print(failure.traceback, file=sys.stderr)
    if not folder.is_current(attempt):
        return
    # On a full disk the room that this attempt took is what its last words need.
    folder.discard_unfinished(attempt)
    said = folder.failure() if isinstance(error, PeerLostError) else None
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
    execution = keep(folder, cell.recipe.train.batch, given.execution, processes.count)
    context = given.context(FolderContext, attempt, execution)
    threads = torch.get_num_threads()
    processes.from_main(
        {"attempt": attempt, "micro_batch": execution.micro_batch, "threads": threads}
    )
    end_watch = context.watch(given.parent)
    started = now()
    try:
        outcome = run_cell(cell, context, processes)
        end_watch()
        kept = read_json(folder.path / "execution.json")
        record = _record(cell, outcome, attempt, started, kept)
        splits = {name: asdict(scores) for name, scores in outcome.splits.items()}
        folder.finish(record, splits, context.partial)
        folder.end_attempt(attempt, "done")
        context.trackers.finish(_finals(outcome), outcome.total_steps)
    finally:
        end_watch()
        context.trackers.close()
    return DONE


def _finals(outcome: CellOutcome) -> dict[str, float]:
    """Final values for trackers: metrics in percent, measured sparsity 0..1."""
    measured = outcome.sparsity
    shares = {"scope": measured.scope, "encoder": measured.encoder, "model": measured.model}
    return {**outcome.metrics, **{f"{key}_sparsity": n.share for key, n in shares.items()}}


def _record(
    cell: Cell, outcome: CellOutcome, attempt: int, started: str, execution: dict[str, Any]
) -> Record:
    pins = {**cell.data_pins, "model": cell.model_pin}
    content = {key: value for key, value in asdict(outcome).items() if key != "splits"}
    given = {
        **content,
        "schema_version": SCHEMA_VERSION,
        "cell_id": cell.id,
        "cell": cell.model_dump(mode="json"),
        "reportable": cell.limit is None,
        "attempt": attempt,
        "started": started,
        "finished": now(),
        "execution": execution,
        "provenance": provenance(pins),
    }
    try:
        return Record.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SmcBenchError(f"the outcome can't be recorded: {where}: {first['msg']}") from None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SmcBenchError, OSError) as problem:
        print(problem, file=sys.stderr)
        sys.exit(FAILED)
