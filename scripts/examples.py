"""Execute the notebooks in examples/ and keep their outputs (make examples)."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs that it has now.

    Raises:
        nbclient.exceptions.CellExecutionError: One of its cells fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which would differ each time
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    for found in sorted(EXAMPLES.glob("*.ipynb")):
        nbformat.write(executed(found), found)
        print(f"executed {found.name}")
