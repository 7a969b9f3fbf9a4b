"""Suites by name: those of the current folder, then those that are shipped."""

from __future__ import annotations

import re
from pathlib import Path

from smc_bench.errors import SuiteError
from smc_bench.suite.resolve import shipped_recipes
from smc_bench.suite.yaml_file import nearest

CLAIMS = "claims.yaml"
"""The file of claims beside suites, which is none itself."""

_NAME = re.compile(r"\w[\w-]*")


def shipped_suites() -> dict[str, Path]:
    """This project's own suites by name, beside the package or in it (wheel)."""
    folders = [folder.parent for folder in reversed(shipped_recipes())]
    return {
        path.stem: path
        for folder in folders
        for path in sorted(folder.glob("*.yaml"))
        if path.name != CLAIMS
    }


def is_name(text: str) -> bool:
    """Whether a text can be a suite's name, and is no path."""
    return _NAME.fullmatch(text) is not None


def suite_path(text: str) -> Path:
    """The file of a suite that is given by its path or its name.

    A name is looked for as ``NAME.yaml`` here, in ``suites/`` here, and among the shipped suites.

    Raises:
        SuiteError: It is a name, and there is no such suite.
    """
    if not is_name(text) or _is_file(Path(text)):
        return Path(text)
    shipped = shipped_suites()
    here = (Path(f"{text}.yaml"), Path("suites") / f"{text}.yaml")
    for path in (*here, *([shipped[text]] if text in shipped else [])):
        if _is_file(path):
            return path
    raise SuiteError(
        f"{text}: no such file, and no suite of this name here or among the shipped ones"
        f"{nearest(text, sorted(shipped))}"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long for a file
        return False
