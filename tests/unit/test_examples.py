"""The notebooks in examples/ run, and are kept with their outputs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: Any) -> list[tuple[str, tuple[str, ...]]]:
    """What sort of output a cell has; a stream (a warning, a print) is said as it is."""
    return [(o.output_type, tuple(sorted(o.get("data", {})))) for o in cell.outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_it_is_kept_with(path: Path) -> None:
    spec = importlib.util.spec_from_file_location("examples", ROOT / "scripts" / "examples.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept, now = nbformat.read(path, as_version=4), script.executed(path)
    nbformat.validate(kept)
    for one, other in zip(code_cells(kept), code_cells(now), strict=True):
        assert kinds(one) == kinds(other)
        assert one.execution_count == other.execution_count
        assert {output.output_type for output in other.outputs} <= {
            "execute_result",
            "display_data",
        }, other.outputs


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_small_and_names_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert not any(place in text for place in ("/home/", "/tmp/", "/root/", str(ROOT)))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
