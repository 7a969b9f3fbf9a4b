"""Suites by name: those that come with the package, from any folder."""

from __future__ import annotations

from pathlib import Path

from smc_bench.errors import SuiteError
from smc_bench.suite.resolve import shipped_recipes
from smc_bench.suite.yaml_file import nearest

_NOT_SUITES = ("claims",)


def shipped_suites() -> dict[str, Path]:
    """The file of each suite that comes with the package, by name."""
    folders = [folder.parent for folder in reversed(shipped_recipes())]
    found = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    return {name: path for name, path in found.items() if name not in _NOT_SUITES}


def suite_file(named: str | Path) -> Path:
    """A suite's file by its path, or by the name of a shipped one.

    Raises:
        SuiteError: It is neither.
    """
    path = Path(named)
    if path.is_file() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    known = shipped_suites()
    if str(named) not in known:
        hint = nearest(str(named), sorted(known))
        raise SuiteError(f"{named}: neither a file nor a shipped suite{hint}")
    return known[str(named)]
