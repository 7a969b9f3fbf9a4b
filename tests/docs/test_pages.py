"""What the pages say of the tree is so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "smc_bench"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
HOPS = ROOT / "docs" / "follow-one-cell.md"
NAMED = re.compile(r"`([\w/]+\.py):([\w.]+)`")
FILE = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|sh|yaml|csv|md|json))`")

# Made by runs, or to come; not in the tree.
GENERATED = (
    "results/cells/",
    "results/reports/",
    "results/slurm/",
    "results/lock",
    "results/precision",
    "docs/findings.md",
    "artefacts/",
    "attempts/",
    "reported/",
    "slurm/",
    "suites/teacher",
    "tuned/",
    "weights/",
)


def defined(path: Path) -> set[str]:
    """Names of a module's functions and classes, methods with their class."""
    names = set[str]()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = (part for part in node.body if isinstance(part, ast.FunctionDef))
            names |= {f"{node.name}.{part.name}" for part in inside}
    return names


def named(page: Path) -> list[tuple[str, str]]:
    return NAMED.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_that_a_page_names_exist(page):
    missing = [
        f"{file}:{name}"
        for file, name in named(page)
        if not (PACKAGE / file).is_file() or name not in defined(PACKAGE / file)
    ]
    assert missing == []


def test_the_hops_are_numbered_and_cover_every_stage():
    text = HOPS.read_text(encoding="utf-8")
    numbers = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    packages = {file.split("/")[0] for file, _ in named(HOPS)}
    assert {"cli", "suite", "dispatch", "engine", "models", "tasks", "store", "report"} <= packages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    """Paths are from the top of the tree or from the package; generated results are not kept."""
    given = set(FILE.findall(page.read_text(encoding="utf-8")))
    kept = {name for name in given if not name.startswith(GENERATED)}
    missing = [n for n in sorted(kept) if not (ROOT / n).exists() and not (PACKAGE / n).exists()]
    assert missing == []
