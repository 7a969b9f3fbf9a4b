"""Benchmarks and scripts use names that the package has; nothing else imports them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for name in ("benchmarks", "scripts") for path in (ROOT / name).glob("*.py"))


def names(path: Path) -> Iterator[tuple[str, str]]:
    """Modules of the package, and what is imported from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smc_bench"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.startswith("smc_bench"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_they_import_is_there(path: Path) -> None:
    for module, name in names(path):
        found = importlib.import_module(module)
        if name and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


def test_there_are_some() -> None:
    assert len([path for path in FILES if list(names(path))]) > 10
