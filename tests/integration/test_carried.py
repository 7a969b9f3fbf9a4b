"""Cells that were really run, carried to another results folder, where the work goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path


def smc(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_merged_teacher_teaches_and_tables_are_the_same(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    where = (suite_file, "--data-root", mirror)
    done = smc("run", *where, "--results", one, "--only", "arm=dense", "--no-report")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "one.tgz", "w:gz") as tar:
        tar.add(one, "one")
    done = smc("merge", tmp_path / "one.tgz", "--weights", "--results", two)
    assert (done.returncode, done.stdout) == (0, f"1 added ({two})\n"), done.stderr
    done = smc("run", *where, "--results", two, "--no-report")
    assert done.returncode == 0, done.stderr
    (teacher,) = two.glob("cells/*/*-dense-*")
    assert not (teacher / "attempts").exists()  # it was not trained again
    # Back to the first folder, as small records; then both give one table.
    script = Path(__file__).parents[2] / "scripts" / "records.py"
    subprocess.run([sys.executable, script, "collect", two, tmp_path / "records"], check=True)
    done = smc("merge", tmp_path / "records", "--results", one)
    assert (done.returncode, done.stdout) == (0, f"2 added, 1 there ({one})\n"), done.stderr
    tables = [smc("table", *where, "--results", folder) for folder in (one, two)]
    assert tables[0].stdout == tables[1].stdout
    assert tables[0].returncode == 0
    same = json.loads(smc("compare", one, two, "--json").stdout)
    assert [row["same_weights"] for row in same["cells"]] == [True] * 3
    assert same["differs"] == {}
    # Without weights a teacher can't teach: run says so and trains nothing wrong.
    smc("merge", tmp_path / "records", "--results", three)
    done = smc("export", teacher.name[-12:], "--results", three)
    assert done.returncode == 1
    assert "no weights" in done.stderr
