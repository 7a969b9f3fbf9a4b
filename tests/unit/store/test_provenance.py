"""Which commit a record names: that of this code, never of a repository that it lies in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smc_bench.store import provenance

ROOT = Path(__file__).parents[3]
ASK = """
import json
from smc_bench.store.provenance import provenance
print(json.dumps(provenance({})))
"""


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false")
    command = ["git", *settings, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def installed(folder: Path) -> dict[str, Any]:
    """What the package says of itself from a folder, as site-packages would hold it."""
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return {key: found[key] for key in ("git_commit", "git_dirty")}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The package inside of somebody's own repository, not tracked by it."""
    git(tmp_path, "init", "-q")
    (tmp_path / "mine.txt").write_text("mine")
    git(tmp_path, "add", "mine.txt")
    git(tmp_path, "commit", "-qm", "mine")
    shutil.copytree(ROOT / "smc_bench", tmp_path / "env" / "smc_bench")
    return tmp_path / "env"


def test_another_repository_around_it_is_not_its_commit(copied: Path) -> None:
    assert installed(copied) == {"git_commit": None, "git_dirty": None}
    built = {"git_commit": "c" * 40, "git_dirty": False}
    (copied / "smc_bench" / "_built_from.json").write_text(json.dumps(built))
    assert installed(copied) == built


def test_its_own_checkout_is(copied: Path) -> None:
    git(copied, "add", "smc_bench")
    git(copied, "commit", "-qm", "the package")
    head = git(copied, "rev-parse", "HEAD").strip()
    assert installed(copied) == {"git_commit": head, "git_dirty": False}
    with (copied / "smc_bench" / "py.typed").open("a") as file:
        file.write("changed")
    assert installed(copied) == {"git_commit": head, "git_dirty": True}


@pytest.mark.parametrize("text", ["", "[]", '{"git_commit": "c"}'])
def test_a_wheel_with_a_damaged_word_of_it_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "_built_from.json"
    path.write_text(text)
    monkeypatch.setattr(provenance, "BUILT_FROM", path)
    assert provenance._built_from() == {"git_commit": None, "git_dirty": None}
