"""Build the site: gather what is written and what follows from the tree, then run Zensical.

    python docs/site/build.py build/docs

The home page is README.md, the results are those of ``results/reproduction``, each package has a
page of its API, and ``<!-- keys: KIND -->`` in a page becomes tables of the keys of that kind. The
menu, too, is filled in here: any generator that reads ``mkdocs.yml`` can build the folder. Sources
are read, not imported, but for the models of the keys, which need no torch.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from keys import tables

from smc_bench.json_schema import KINDS, json_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RESULTS = ROOT / "results" / "reproduction"
_RECORDS = "records"  # one file a cell: data, not reading
_KEYS = re.compile(r"^<!-- keys: ([\w ]+) -->$", re.MULTILINE)
_LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)\s]+)(\))")


def build(target: Path) -> int:
    """Build the site strictly: dead links and docstrings that can't be read are errors.

    Args:
        target: A folder, which is emptied; the site lies in ``site`` below it.

    Returns:
        An exit code.
    """
    config = prepare(target)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(config)]
    done = subprocess.run(
        command, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout)
    # Zensical's --strict does not count what mkdocstrings' reader of docstrings says.
    return done.returncode or int("griffe: " in done.stdout)


def prepare(target: Path) -> Path:
    """Write all pages below a folder, which is emptied first.

    Args:
        target: The folder; its pages lie in ``pages``.

    Returns:
        The configuration of the site.

    Raises:
        ValueError: If README.md links to something that the site does not have.
    """
    shutil.rmtree(target, ignore_errors=True)
    pages = target / "pages"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("site"))
    shutil.copy(DOCS / "site" / "tables.css", pages)
    for page in pages.rglob("*.md"):
        reference = "" if page.parent.name == "reference" else "reference/"
        _fill_in(page, reference)
    made = {"index.md": _home((ROOT / "README.md").read_text(encoding="utf-8"))}
    made |= {f"schema/{kind}.json": json.dumps(json_schema(kind), indent=1) for kind in KINDS}
    made |= {f"api/{name}.md": f"# {name}\n\n::: {module}\n" for name, module in _packages()}
    made |= {f"results/{_name(p)}": _result(p) for p in _results("*.md")}
    for name, content in made.items():
        path = pages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    for path in [*_results("*.png"), *_results("*.csv")]:
        shutil.copy(path, pages / "results" / path.relative_to(RESULTS))
    return _config(target)


def _config(target: Path) -> Path:
    written = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    for word, path in (("ROOT", ROOT), ("ROLES", DOCS / "site" / "roles.py")):
        written = written.replace(f"[{word}]", json.dumps([str(path)]))
    settings = yaml.safe_load(written)
    settings["nav"] = _filled(settings["nav"])
    path = target / "mkdocs.yml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _filled(nav: Any) -> Any:
    """The menu, with the entries that follow from folders."""
    if isinstance(nav, list):
        return [_filled(item) for item in nav]
    if isinstance(nav, dict):
        return {title: _filled(where) for title, where in nav.items()}
    if nav == "api/":
        return [{name: f"api/{name}.md"} for name, _ in _packages()]
    if nav == "results/":
        return [{_title(path): f"results/{_name(path)}"} for path in _results("*.md")]
    return nav


def _fill_in(page: Path, reference: str) -> None:
    """Put the tables of keys into a page; ``reference`` is where recipes lie from there.

    What lies in ``../results/reproduction`` of the repository lies beside the pages here.
    """
    text = page.read_text(encoding="utf-8").replace("](../results/reproduction/", "](results/")
    text = _KEYS.sub(lambda asked: tables(asked[1], reference), text)
    page.write_text(text, encoding="utf-8")


def _packages() -> list[tuple[str, str]]:
    """Packages and modules right below ``smc_bench``, by name."""
    folder = ROOT / "smc_bench"
    inner = [path.parent.name for path in folder.glob("*/__init__.py")]
    inner += [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
    return [(name, f"smc_bench.{name}") for name in sorted(inner)]


def _results(pattern: str) -> list[Path]:
    found = (path for path in RESULTS.rglob(pattern) if path.is_file())
    return sorted(p for p in found if _RECORDS not in p.relative_to(RESULTS).parts)


def _name(path: Path) -> str:
    return path.relative_to(RESULTS).as_posix()


def _title(path: Path) -> str:
    return "Overview" if _name(path) == "README.md" else _name(path).removesuffix("/table.md")


def _home(text: str) -> str:
    """README.md as the home page: its links start one folder higher."""
    return _LINK.sub(lambda link: f"{link[1]}{_from_top(link[2])}{link[3]}", text)


def _from_top(target: str) -> str:
    for start, instead in (("docs/", ""), ("results/reproduction/", "results/")):
        if target.startswith(start):
            return instead + target.removeprefix(start)
    raise ValueError(f"README.md links to {target}, which the site does not have")


def _result(path: Path) -> str:
    """A page of results, which may link to ``docs/`` and to its neighbours."""
    text = path.read_text(encoding="utf-8").replace("](../../docs/", "](../")
    return text.replace(f"[{_RECORDS}]({_RECORDS})", f"`results/reproduction/{_RECORDS}`")


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
