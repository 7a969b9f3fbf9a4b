"""Cells that were really run, carried to another results folder, where the work goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

from click.testing import CliRunner, Result

from smc_bench.cli.main import cli
from smc_bench.store.collecting import collect
from smc_bench.store.store import Store


def smc(*words: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


def run(*words: object) -> None:
    command = [sys.executable, "-m", "smc_bench", "run", *map(str, words), "--no-report"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_merged_teacher_teaches_and_tables_are_the_same(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    where = (suite_file, "--data-root", mirror)
    run(*where, "--results", one, "--only", "arm=dense")
    with tarfile.open(tmp_path / "one.tgz", "w:gz") as tar:
        tar.add(one, "one")
    done = smc("merge", tmp_path / "one.tgz", "--weights", "--results", two)
    assert (done.exit_code, done.stdout) == (0, f"1 added ({two})\n"), done.stderr
    run(*where, "--results", two)
    (teacher,) = two.glob("cells/*/*-dense-*")
    assert not (teacher / "attempts").exists()  # it was not trained again
    # Back to the first folder, as small records; then both give one table.
    records = tmp_path / "records"
    assert [outcome.what for outcome in collect(Store(two), records)] == ["added"] * 3
    done = smc("merge", records, "--results", one)
    assert (done.exit_code, done.stdout) == (0, f"2 added, 1 there ({one})\n"), done.stderr
    tables = [smc("table", *where, "--results", folder) for folder in (one, two)]
    assert tables[0].stdout == tables[1].stdout
    assert tables[0].exit_code == 0
    same = json.loads(smc("compare", one, two, "--json").stdout)["data"]
    assert [row["same_weights"] for row in same["cells"]] == [True] * 3
    assert same["differs"] == {}
    # What came without weights says so where they are wanted.
    assert smc("merge", records, "--results", three).exit_code == 0
    done = smc("export", teacher.name[-12:], "--results", three)
    assert done.exit_code == 1
    assert "no weights" in done.stderr


def test_what_every_kind_of_method_leaves_is_believed(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    """What merge works out anew holds for methods that prune, grow and start over as they will."""
    text = suite_file.read_text()
    arms = """arms:
  one shot: {recipe: one-shot-magnitude}
  movement:
    recipe: movement
    train: {duration: 3ep}
    sparsity_schedule: {end: 80%}
  RigL:
    recipe: smc-snip-rigl
    train: {duration: 3ep}
    regrowth: {every: 2it}
  rounds:
    recipe: smc-lth
    sparsity_schedule: {round: 4it}
profiles:
"""
    path = suite_file.with_name("kinds.yaml")
    start, end = text.index("arms:"), text.index("profiles:\n") + len("profiles:\n")
    path.write_text((text[:start] + arms + text[end:]).replace("name: tiny", "name: kinds"))
    one, cut = tmp_path / "one", tmp_path / "cut"
    run(path, "--data-root", mirror, "--results", one)
    run(suite_file, "--data-root", mirror, "--results", cut, "--limit", 3)
    for source, count in ((one, 5), (cut, 3)):
        done = smc("merge", source, "--results", tmp_path / f"from-{source.name}")
        assert done.exit_code == 0, done.stdout
        assert done.stdout.startswith(f"{count} added")
