"""A whole suite as ``smc-bench run`` takes it, against one process a cell that shares nothing.

    python benchmarks/suite.py --data-root MIRROR [--rows 160] [--arms scopes --arms temperatures]

A teacher and twelve students (three sparsities, four arms) by the recipes ``dense`` and
``guidelines`` as they are, epochs and evaluation of SST-2 cut to ``--rows``. Arms are the scopes of
``suites/ablation_embeddings.yaml``, which all begin alike and so train their beginning once, or
four temperatures, where only the sparsities of one temperature do.

The alternatives take the same steps by the same engine, so that what a step gains is left out: each
student in a process of its own that trains its teacher again and asks it for every batch, either as
many at once as here with a thread each, or one after the other with every core, as a shell's loop
has them (of one arm, times four). CPU seconds are of all processes; wall seconds mean something on
an idle machine only. Both ways' scores are kept beside, and whether all teachers are equal to the
bit: they need not be where ours had other threads, as it begins alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from fisher_support import processor

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.dispatch.local.capacity import default_jobs, usable_cores
from smc_bench.dispatch.worker.command import worker_environment
from smc_bench.sources import Lock, Roots
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Entry, expand
from smc_bench.suite.load import load_suite

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SUITE = """
name: thirteen
title: A teacher and twelve students
tasks: [sst2]
model: minilm-l6
sparsity: [0.8, 0.85, 0.9]
seeds: [42]
baseline: guidelines
default_profile: laptop
arms:
{arms}
recipe:
  train: {{rows: {rows}, precision: {precision}}}
  evaluation: {{rows: {rows}}}
profiles: {{laptop: {{}}}}
"""
ARMS = {
    "scopes": {
        "encoder only": "{}",
        "+ embeddings": "{scope: [encoder, embeddings]}",
        "+ head": "{scope: [encoder, head]}",
        "everything": "{scope: [encoder, embeddings, head]}",
    },
    "temperatures": {
        "T = 5.5": "{}",
        "T = 1": "{distillation: {temperature: 1.0}}",
        "T = 2": "{distillation: {temperature: 2.0}}",
        "T = 8": "{distillation: {temperature: 8.0}}",
    },
}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the processes that the work starts."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def started(*words: str, environment: dict[str, str] | None = None) -> None:
    """Run a Python process to its end, which must be a good one."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()[-2000:]}")


def students(suite: Path, results: Path) -> list[Entry]:
    """The cells of the suite that have a teacher, and their arms."""
    pins = SourcePins(Roots.from_environment(), Lock.load(results / "lock.json"), network=False)
    return [entry for entry in expand(load_suite(suite), pins).entries if entry.cell.teacher]


def apart(suite: Path, lock: Path, root: Path, cells: list[Cell], jobs: int, threads: int) -> None:
    """Every student in a process and a results folder of its own."""

    def one(cell: Cell) -> None:
        results = root / cell.id
        results.mkdir(parents=True)
        if lock.exists():  # only what came from a hub is in it
            shutil.copy(lock, results)
        words = (str(HERE / "suite_worker.py"), str(suite), str(results), cell.id)
        started(*words, environment=worker_environment(threads))

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, cells))


def record(results: Path, cell_id: str) -> Record:
    """The record of a finished cell."""
    folder = Store(results).by_id(cell_id)
    found = None if folder is None else folder.record()
    assert found is not None, f"{results}: no record of {cell_id}"
    return found


def compared(together: Path, root: Path, cells: list[Cell]) -> dict[str, Any]:
    """Seconds of training, scores and teachers of both ways."""
    ours = [record(together, cell.id) for cell in cells]
    theirs = [record(root / cell.id, cell.id) for cell in cells]
    teachers = {cell.teacher or "" for cell in cells}
    first = record(together, teachers.pop())
    again = [record(root / cell.id, first.cell_id) for cell in cells]
    away = [
        abs(a.metrics["accuracy"] - b.metrics["accuracy"])
        for a, b in zip(ours, theirs, strict=True)
    ]
    return {
        "teacher's steps": first.total_steps,
        "students' steps": [one.total_steps for one in ours],
        "training s": {
            "students": sum(one.train_seconds for one in ours),
            "teacher": first.train_seconds,
            "students apart": sum(one.train_seconds for one in theirs),
            "teachers apart": sum(one.train_seconds for one in again),
        },
        "teachers equal to the bit": len({one.weights_sha256 for one in [first, *again]}) == 1,
        "students apart in accuracy, median and most": [statistics.median(away), max(away)],
    }


def warm(together: Path, cells: list[Cell]) -> dict[str, list[float]]:
    """Seconds of a student around its training, and since another cell made room for it."""
    found = [record(together, cell.id) for cell in cells]
    ends = [datetime.fromisoformat(record(together, cells[0].teacher or "").finished)]
    ends += [datetime.fromisoformat(one.finished) for one in found]
    around, waited = [], []
    for one in found:
        start = datetime.fromisoformat(one.started)
        whole = (datetime.fromisoformat(one.finished) - start).total_seconds()
        around.append(whole - one.train_seconds)
        waited.append((start - max(end for end in ends if end <= start)).total_seconds())
    return {"evaluation, features, saving": sorted(around), "since the last one": sorted(waited)}


def measured(kind: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One suite, our way and the others."""
    cores = usable_cores()
    with tempfile.TemporaryDirectory(prefix="smc-bench-suite-") as name:
        suite, together, root, loop = (Path(name) / w for w in ("suite.yaml", "a", "b", "c"))
        arms = "\n".join(f"  {arm}: {changes}" for arm, changes in ARMS[kind].items())
        suite.write_text(SUITE.format(rows=asked.rows, precision=asked.precision, arms=arms))
        lock = together / "lock.json"
        verb = ("-m", "smc_bench", "run", str(suite), "--results", str(together))
        started("-m", "smc_bench", "fetch", str(suite), "--results", str(together))
        ours = timed(lambda: started(*verb, "--jobs", str(asked.jobs), "--no-report"))
        print(kind, "together: wall and CPU seconds", ours, flush=True)
        entries = students(suite, together)
        cells = [entry.cell for entry in entries]
        theirs = timed(lambda: apart(suite, lock, root, cells, asked.jobs, 1))
        print(kind, "apart: wall and CPU seconds", theirs, flush=True)
        few = [entry.cell for entry in entries if entry.arm == next(iter(ARMS[kind]))]
        part = timed(lambda: apart(suite, lock, loop, few, 1, cores))
        after = tuple(seconds * len(cells) / len(few) for seconds in part)
        print(kind, "one after the other: wall and CPU seconds", after, flush=True)
        return {
            "students": len(cells),
            "wall s": {"together": ours[0], "apart": theirs[0], "one after the other": after[0]},
            "CPU s": {"together": ours[1], "apart": theirs[1], "one after the other": after[1]},
            "ratio of wall": {
                "apart": theirs[0] / ours[0],
                "one after the other": after[0] / ours[0],
            },
            "ratio of CPU": {
                "apart": theirs[1] / ours[1],
                "one after the other": after[1] / ours[1],
            },
            "spared steps": sum(record(together, cell.id).prefix_steps for cell in cells),
            **compared(together, root, cells),
            "s of a student in a warm worker": warm(together, cells),
        }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--arms", action="append", choices=sorted(ARMS))
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--jobs", type=int, default=default_jobs(0, usable_cores()))
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    asked = parser.parse_args()
    if asked.data_root:
        os.environ["SMC_BENCH_DATA_ROOT"] = str(asked.data_root)
    os.environ["HF_HUB_OFFLINE"] = "1"
    content: dict[str, Any] = {
        "processor": processor(),
        "load before": os.getloadavg()[0],
        "rows": asked.rows,
        "precision": asked.precision,
        "at once": asked.jobs,
    }
    RESULTS.mkdir(exist_ok=True)
    for kind in asked.arms or list(ARMS):
        content[kind] = measured(kind, asked)
        (RESULTS / "suite.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
