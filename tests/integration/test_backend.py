"""A third backend is one file: the tiny suite runs on one that is defined here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PLUGIN = '''
"""Cells on threads of this process, each with a worker of its own."""
from concurrent.futures import Future, ThreadPoolExecutor, wait

from smc_bench.dispatch.backend import Outcome, backend
from smc_bench.dispatch.choice import choose_from_disk, prepare, states_on_disk
from smc_bench.dispatch.failures import settle_end
from smc_bench.dispatch.worker.command import start_worker


@backend("threads")
class Threads:
    def __init__(self, spec):
        self.spec, self.pool = spec, ThreadPoolExecutor(2)
        self.futures: dict[str, Future] = {}

    def submit(self, cells, *, retry=False, force=False):
        choice, before = choose_from_disk(self.spec.store, cells, retry=retry, force=force)
        for cell in choice.needed:
            teacher = self.futures.get(cell.teacher)
            self.futures[cell.id] = self.pool.submit(self.run, cell, teacher)
        return choice.submission("a thread", before)

    def run(self, cell, teacher):
        if teacher is not None and not teacher.result():
            return False
        folder = prepare(self.spec.store, cell)
        settle_end(folder, start_worker(self.spec, cell.folder, threads=1).wait())
        return folder.state() == "done"

    def status(self, cells):
        return states_on_disk(self.spec.store, cells)

    def cancel(self, cells):
        return sum(self.futures[key].cancel() for key in cells if key in self.futures)

    def wait(self, cells, look=lambda status: None):
        while wait(self.futures.values(), timeout=0.5).not_done:
            look(self.status(cells))
        return Outcome.of(self.status(cells))
'''


def test_the_tiny_suite_runs_on_a_backend_of_ones_own(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    plugin, results = tmp_path / "threads.py", tmp_path / "results"
    plugin.write_text(PLUGIN)
    assert len(PLUGIN.splitlines()) < 60

    def smc(*words: object, code: int = 0) -> str:
        where = ("--results", results, "--data-root", mirror, "--no-report")
        command = [sys.executable, "-m", "smc_bench", "run", suite_file, *where, *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
        return done.stderr

    refused = smc("--backend", "thread", "--include", plugin, code=1)
    assert "there is no backend 'thread'; did you mean 'threads'?" in refused
    assert "3 of 3 cells done" in smc("--backend", "threads", "--include", plugin)
    records = {path: json.loads(path.read_text()) for path in results.glob("cells/*/*/record.json")}
    assert len(records) == 3
    # Another backend takes the results for what they are.
    assert "3 of 3 cells done" in smc()
    assert {path: json.loads(path.read_text()) for path in records} == records
