"""Exports of which removed heads and neurons are left out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smc_bench.models.load import load_model
from smc_bench.models.units import units
from smc_bench.tasks.registry import get_task
from tests.helpers.exporting import AUTO, Finished, batch, finished_cell, outputs
from tests.helpers.shrinking import zero


@pytest.fixture
def finished(tmp_path: Path, tiny_model: Path) -> Callable[..., Finished]:
    return partial(finished_cell, tmp_path, tiny_model)


def remove_units(cell: Finished) -> None:
    """Let a cell's weights be those of a model that lost units, as pruning leaves them."""
    gone = {("head", 0), ("neuron", 1), ("neuron", 2)}
    chosen = [unit for unit in units(cell.model) if (unit.kind, unit.index + unit.layer) in gone]
    zero(cell.model, chosen)
    cell.save()


@pytest.mark.parametrize("task", AUTO)
def test_a_shrunk_export_computes_the_same_and_says_so(
    task: str, finished: Callable[[str], Finished], tmp_path: Path
) -> None:
    cell = finished(task)
    remove_units(cell)
    with_onnx = task == "sst2" and importlib.util.find_spec("onnx") is not None
    words = ["--onnx"] if with_onnx else []
    cell.export("--to", tmp_path / "out", "--shrink", *words)
    before = (cell.folder.path / "weights" / "model.safetensors").stat().st_size
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < before
    implementation = get_task(task)
    with pytest.raises(RuntimeError):
        AUTO[task].from_pretrained(tmp_path / "out")
    loaded = load_model(
        tmp_path / "out", implementation.head, implementation.spec.labels, seed=0, finished=True
    )
    for ours, theirs in zip(
        outputs(loaded, batch(task)), outputs(cell.model, batch(task)), strict=True
    ):
        assert float((ours - theirs).abs().max()) <= 1e-6
    text = (tmp_path / "out" / "README.md").read_text()
    said = ["load_model", "1 of 4 heads", "neurons removed", "before shrinking"]
    assert [part for part in said if part not in text] == []
    assert "file size and torch's speed are a dense model's" not in text
    # Whoever runs the card's own lines gets the model.
    code = text.split("```python\n")[1].split("```")[0].replace("FOLDER", str(tmp_path / "out"))
    names: dict[str, Any] = {}
    exec(code, names)
    assert not names["model"].training
    if words:
        onnxruntime = pytest.importorskip("onnxruntime", reason="the extra is not installed")
        session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
        inputs = {name: value.numpy() for name, value in batch(task).items()}
        inputs["token_type_ids"] = np.zeros_like(inputs["input_ids"])
        (found,) = session.run(None, inputs)
        (wanted,) = outputs(cell.model, batch(task))
        assert float(np.abs(found - wanted.numpy()).max()) <= 1e-6


def test_shrinking_a_cell_without_removed_units_is_refused(
    finished: Callable[[str], Finished], tmp_path: Path, tiny_model: Path
) -> None:
    cell = finished("sst2")
    cell.model = load_model(tiny_model, "sequence_classification", 2, seed=1)
    cell.save()
    assert "nothing to shrink" in cell.export("--shrink", "--to", tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()
