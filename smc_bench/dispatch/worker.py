"""One attempt at one cell, in a process of its own: ``python -m smc_bench.dispatch.worker``.

Exit codes: 0 done, 1 failed (failure.json says why), 3 someone else has the cell, 4 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smc_bench.dispatch.failures import failure_of
from smc_bench.dispatch.run_context import FolderContext
from smc_bench.dispatch.warm import serve
from smc_bench.engine.context import CellOutcome
from smc_bench.engine.recipe import Execution
from smc_bench.errors import Interrupted, SmcBenchError
from smc_bench.plugins import load_plugins
from smc_bench.sources import Lock, Roots
from smc_bench.store.files import read_json, write_json
from smc_bench.store.provenance import provenance
from smc_bench.store.record import SCHEMA_VERSION, Record
from smc_bench.store.store import CellFolder, Store, now
from smc_bench.suite.cell import Cell

DONE, FAILED, TAKEN, INTERRUPTED = 0, 1, 3, 4


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and attempt the cell, or the cells that standard input names."""
    parser = argparse.ArgumentParser(prog="smc_bench.dispatch.worker", description=__doc__)
    help_folder = "the cell's folder below RESULTS/cells; without one, see smc_bench.dispatch.warm"
    parser.add_argument("folder", nargs="?", help=help_folder)
    parser.add_argument("--results", required=True, type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    parser.add_argument("--execution", default="{}", help="JSON, kept from the first attempt on")
    parser.add_argument("--include", action="append", default=[], type=Path, help="plug-in file")
    given = parser.parse_args(arguments)
    load_plugins(given.include)
    store = Store(given.results)
    roots = Roots.from_environment(given.data_root, given.cache)
    execution = Execution.model_validate_json(given.execution)

    def attempt(folder: str) -> int:
        return attempt_cell(store, folder, roots, execution, given.parent)

    return serve(attempt, store) if given.folder is None else attempt(given.folder)


def attempt_cell(
    store: Store, relative: str, roots: Roots, execution: Execution, parent: int | None = None
) -> int:
    """Claim a cell and run it to a record or a typed failure."""
    stop = threading.Event()
    # First of all: until then these signals would end the process without a word.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, lambda *_: stop.set())
    folder = store.folder(relative)
    attempt = folder.claim()
    if attempt is None:
        return DONE if folder.state() == "done" else TAKEN
    try:
        return _run(store, folder, attempt, roots, execution, parent, stop)
    except Interrupted as error:
        print(error, file=sys.stderr)
        folder.end_attempt(attempt, "interrupted")
        return INTERRUPTED
    except (Exception, MemoryError) as error:
        if folder.state() == "done":
            print(f"another attempt has finished this cell ({error})", file=sys.stderr)
            return DONE
        failure = failure_of(error, attempt)
        print(failure.traceback, file=sys.stderr)
        if folder.is_current(attempt):
            # On a full disk the room that this attempt took is what its last words need.
            folder.discard_unfinished(attempt)
            folder.write_failure(failure)
            folder.end_attempt(attempt, failure.type)
        return FAILED


def _run(
    store: Store,
    folder: CellFolder,
    attempt: int,
    roots: Roots,
    execution: Execution,
    parent: int | None,
    stop: threading.Event,
) -> int:
    from smc_bench.engine.api import run_cell

    cell = Cell.model_validate(read_json(folder.path / "cell.json"))
    teacher = store.by_id(cell.teacher) if cell.teacher else None
    lock = Lock.load(store.root / "lock.json")
    execution = _kept(folder, execution)
    context = FolderContext(cell, folder, attempt, roots, lock, teacher, execution)
    context.stop = stop
    end_watch = context.watch(parent)
    started = now()
    try:
        outcome = run_cell(cell, context)
    finally:
        end_watch()
    record = _record(cell, outcome, attempt, started, read_json(folder.path / "execution.json"))
    splits = {name: asdict(scores) for name, scores in outcome.splits.items()}
    folder.finish(record, splits, context.partial)
    folder.end_attempt(attempt, "done")
    return DONE


def _kept(folder: CellFolder, execution: Execution) -> Execution:
    """The first attempt's micro-batch and threads, so that resumed weights are bit-equal."""
    import torch

    path = folder.path / "execution.json"
    kept: dict[str, Any] | None = read_json(path)
    if kept is None:
        kept = {"execution": execution.model_dump(), "threads": None}
    if kept.get("threads") is None:
        kept["threads"] = torch.get_num_threads()
        write_json(path, kept)
    torch.set_num_threads(int(kept["threads"]))
    first = Execution.model_validate(kept["execution"])
    return execution.model_copy(update={"micro_batch": first.micro_batch})


def _record(
    cell: Cell, outcome: CellOutcome, attempt: int, started: str, execution: dict[str, Any]
) -> Record:
    pins = {**cell.data_pins, "model": cell.model_pin}
    content = {key: value for key, value in asdict(outcome).items() if key != "splits"}
    return Record.model_validate(
        {
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
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SmcBenchError, OSError) as problem:
        print(problem, file=sys.stderr)
        sys.exit(FAILED)
