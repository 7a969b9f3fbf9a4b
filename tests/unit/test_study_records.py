"""The study's script: small records go out of a results folder and come back as they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from smc_bench.store.store import Store
from tests.helpers.carried import cell_of, finish

SCRIPT = Path(__file__).parents[2] / "scripts" / "records.py"


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_what_is_collected_is_restored_and_a_conflict_is_told(tmp_path: Path) -> None:
    finish(tmp_path / "one", cell_of())
    records = tmp_path / "records"
    done = script("collect", tmp_path / "one", records)
    assert (done.returncode, done.stdout) == (0, f"1 new records in {records}\n")
    done = script("restore", records, tmp_path / "two", "--without-dense")
    assert (done.returncode, done.stdout) == (0, f"1 new records in {tmp_path / 'two'}\n")
    assert Store(tmp_path / "two").folder(cell_of().folder).state() == "done"
    finish(tmp_path / "three", cell_of(), right=1)
    done = script("collect", tmp_path / "three", records)
    assert done.returncode == 1
    assert "conflict" in done.stderr
    done = script("restore", tmp_path / "nowhere", tmp_path / "two")
    assert done.returncode == 1
    assert "no such folder" in done.stderr
