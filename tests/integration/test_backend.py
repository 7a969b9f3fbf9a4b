"""A third backend is one file: the tiny suite runs on the one that docs/extend.md shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "extend.md"


def printed() -> str:
    """The example of docs/extend.md, as printed."""
    section = DOCS.read_text(encoding="utf-8").split("\n## A backend\n", 1)[1]
    return section.split("```python\n", 1)[1].split("```", 1)[0]


def test_the_tiny_suite_runs_on_a_backend_of_ones_own(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    plugin, results = tmp_path / "threads.py", tmp_path / "results"
    plugin.write_text(printed())
    assert len(printed().splitlines()) < 60

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
