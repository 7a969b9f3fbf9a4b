"""A worker that stays: what it keeps apart, when it leaves, and that cells get the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smc_bench.cli.common import Session
from smc_bench.cli.fetch import fetch_inputs
from smc_bench.dispatch.worker.command import WorkerSpec, worker_environment
from smc_bench.engine.execution import Execution
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan

# Attempts that only print, by every way there is, and end as the cell's name says.
SCRIPT = """
import os, signal, subprocess, sys, time
from pathlib import Path
from smc_bench.dispatch.worker import serve as persistent
from smc_bench.store.store import Store

persistent.MOST_CELLS = 4

def attempt(folder):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
    print("python", folder)
    os.write(2, f"descriptor {folder} {os.environ.get('LEFT')}\\n".encode())
    subprocess.run(["sh", "-c", f"echo child {folder}; cat"])
    os.environ["LEFT"] = folder
    while folder.startswith("wait"):
        signal.pause()
    return int(folder[-1])

sys.exit(persistent.serve(attempt, Store(Path(sys.argv[1]))))
"""


class Speaker:
    """One worker process, spoken to as the runner does."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)

    def say(self, folder: str, threads: int = 1) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"cell": folder, "threads": threads}).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()


@pytest.fixture
def printer(tmp_path: Path) -> Iterator[Speaker]:
    for name in ("a0", "b0", "c1", "d0", "e0", "wait0"):
        (tmp_path / "cells" / name).mkdir(parents=True)
    speaker = Speaker([sys.executable, "-c", SCRIPT, str(tmp_path)])
    yield speaker
    speaker.process.kill()
    speaker.process.wait()


def log(tmp_path: Path, name: str) -> list[str]:
    return sorted((tmp_path / "cells" / name / "worker.log").read_text().splitlines())


def test_each_cell_has_its_own_log_and_environment(printer: Speaker, tmp_path: Path) -> None:
    for name in ("a0", "b0"):
        printer.say(name)
        assert printer.hear() == {"free": name}
    assert printer.end() == 0
    for name in ("a0", "b0"):
        expected = [f"child {name}", f"descriptor {name} None", f"python {name}"]
        assert log(tmp_path, name) == expected


def test_it_leaves_with_a_failed_cell(printer: Speaker) -> None:
    printer.say("a0")
    assert printer.hear() is not None
    printer.say("c1")
    assert printer.hear() is None
    assert printer.process.wait() == 1


def test_it_leaves_after_its_share_of_cells(printer: Speaker) -> None:
    for name in ("a0", "b0", "d0"):
        printer.say(name)
        assert printer.hear() is not None
    printer.say("e0")
    assert printer.hear() is None
    assert printer.process.wait() == 0


def test_a_signal_ends_it_between_cells_and_reaches_the_cell_within_one(
    printer: Speaker, tmp_path: Path
) -> None:
    printer.say("a0")
    printer.hear()
    printer.process.send_signal(signal.SIGTERM)
    assert printer.process.wait() == -signal.SIGTERM
    second = Speaker([sys.executable, "-c", SCRIPT, str(tmp_path)])
    second.say("wait0")
    path = tmp_path / "cells" / "wait0" / "worker.log"
    while not path.exists() or "child" not in path.read_text():
        assert second.process.poll() is None
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait() == 4


def worker(session: Session, threads: int) -> Speaker:
    spec = WorkerSpec.of(session.store, session.roots, Execution())
    return Speaker(spec.command(), worker_environment(threads))


def record(store: Store, cell: Cell) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (store.folder(cell.folder).path / "record.json").read_text()
    )
    return content


@pytest.mark.slow
def test_cells_of_a_persistent_worker_have_the_bits_of_a_fresh_one(
    session: Session, plan: Plan, tmp_path: Path
) -> None:
    cells = {entry.arm: entry.cell for entry in plan.entries}
    train = cells["plain"].recipe.train.model_copy(update={"dropout": 0.1})
    plain = cells["plain"].model_copy(
        update={"recipe": cells["plain"].recipe.model_copy(update={"train": train})}
    )
    half = train.model_copy(update={"precision": "bf16"})
    other = plain.model_copy(
        update={"seed": 9, "recipe": plain.recipe.model_copy(update={"train": half})}
    )
    fetch_inputs(session)  # as run does: workers know a model's folder from the cache
    hashes = {}
    # The persistent worker had another precision, another seed and more threads before.
    for name, order in {
        "persistent": [other, cells["dense"], cells["guided"], plain],
        "fresh": [plain],
    }.items():
        here = Session(session.suite, None, (), session.roots, Store(tmp_path / name))
        process = worker(here, threads=2 if name == "persistent" else 1)
        for cell in order:
            here.store.folder(cell.folder).create(cell.model_dump(mode="json"))
            process.say(cell.folder, threads=1 if cell is plain else 2)
            assert process.hear() == {"free": cell.folder}
        assert process.end() == 0
        hashes[name] = record(here.store, plain)["weights_sha256"]
        assert record(here.store, plain)["threads"] == 1
    assert hashes["persistent"] == hashes["fresh"]


def test_memory_is_given_back() -> None:
    code = """
import os, psutil
from smc_bench.dispatch.worker.serve import release_memory
before = release_memory()
class Ring: pass
rings = []
for _ in range(2000):  # small pieces, which the C library keeps, in cycles, which Python keeps
    ring = Ring()
    ring.me, ring.load = ring, [bytes(1000) for _ in range(50)]
    rings.append(ring)
pin = bytes(1000)
held = psutil.Process().memory_info().rss
del rings, ring
after = release_memory()
assert held - before > 80e6, (before, held)
assert after - before < 0.3 * (held - before), (before, held, after)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
