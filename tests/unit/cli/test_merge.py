"""What ``merge`` says, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from smc_bench.cli.main import cli
from tests.helpers.carried import cell_of, finish


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["merge", *map(str, arguments)])


def test_two_folders_become_one_and_a_conflict_is_an_error(tmp_path: Path) -> None:
    one, two, here = (tmp_path / name for name in ("one", "two", "here"))
    finish(one, cell_of(seed=1))
    finish(two, cell_of(seed=2))
    done = run(one, two, "--results", here)
    assert (done.exit_code, done.stdout) == (0, f"2 added ({here})\n")
    finish(two, cell_of(seed=1), right=1)
    done = run(two, "--results", here)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{cell_of(seed=1).id}  conflict: accuracy 75 is there")
    assert "1 conflict, 1 there" in done.stdout


def test_one_bad_source_costs_no_other(tmp_path: Path) -> None:
    finish(tmp_path / "one", cell_of())
    done = run(tmp_path / "no.tar", tmp_path / "one", "--results", tmp_path / "here", "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)["data"]
    assert said["counts"] == {"added": 1}
    assert len(said["problems"]) == 1
    assert "no.tar" in done.stderr


def test_records_without_a_hash_are_counted(tmp_path: Path) -> None:
    finish(tmp_path / "one", cell_of(seed=1))
    finish(tmp_path / "one", cell_of(seed=2), hashed=False)
    done = run(tmp_path / "one", "--results", tmp_path / "here")
    assert done.exit_code == 0
    counted, older = done.stdout.splitlines()
    assert counted == f"2 added ({tmp_path / 'here'})"
    assert older.startswith("without a hash of their own")
    assert ": 1 of the added;" in older


def test_a_source_that_is_not_there_makes_no_folder(tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere", "--results", tmp_path / "here")
    assert done.exit_code == 1
    assert "there is no such folder or tar" in done.stderr
    assert not (tmp_path / "here").exists()
