"""What the pages say of the tree is so."""

import ast
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator

from smc_bench.cli.main import cli
from smc_bench.json_schema import json_schema
from smc_bench.suite.yaml_file import read_yaml

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
    "suites/scorers",
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


LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"^```yaml\n(name: .*?)^```$", re.MULTILINE | re.DOTALL)


def test_links_of_the_readme_lead_somewhere():
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_on_the_package_index_no_link_is_relative():
    """As hatch-fancy-pypi-readme does it: each pattern in turn, with re.sub."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = settings["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for change in hook["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    assert LINK.findall(text) == []
    assert "(https://arxiv.org/abs/2312.13547)" in text
    assert "The tutorial goes through it" in text


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_suites_that_a_page_shows_can_be_run(page, tmp_path):
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        path = tmp_path / "scorers.yaml"
        path.write_text(block, encoding="utf-8")
        done = CliRunner().invoke(cli, ["check", str(path)])
        assert done.exit_code == 0, done.output
        Draft7Validator(json_schema("suite")).validate(read_yaml(path).data)


def test_how_to_cite_agrees_with_the_citation_file():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"]
    assert f"version = {{{cited['version']}}}" in readme
    (paper,) = cited["references"]
    assert " ".join(a["family-names"] for a in paper["authors"]) == "Kurtic Hoefler Alistarh"
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in readme
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in readme


COMMAND = re.compile(r"^(?: {4}|\$ )(smc-bench [a-z].*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_a_page_shows_are_ones(page):
    """Each verb exists and has the options; what follows a # is a comment."""
    for line in COMMAND.findall(page.read_text(encoding="utf-8")):
        verb, *words = shlex.split(line, comments=True)[1:]
        known = cli.get_command(click.Context(cli), verb)
        assert known is not None, line
        options = {name for param in known.params for name in param.opts}
        given = {
            word.partition("=")[0].strip("[]") for word in words if word.startswith(("-", "[-"))
        }
        assert given - options == set(), line
