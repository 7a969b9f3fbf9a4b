"""A finished cell as a Hugging Face folder: weights, config, tokenizer, card, maybe ONNX.

Here the store, the report's card and the models meet; torch is loaded for ONNX and shrinking alone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from smc_bench.errors import ModelError, StoreError
from smc_bench.export.model_card import Shrinking, model_card
from smc_bench.store.files import read_json, sync_folder, write_json
from smc_bench.store.reading import WEIGHTS, check_weights, parse_cell
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell


def export_cell(
    store: Store,
    cell_id: str,
    target: Path | None = None,
    *,
    onnx: bool = False,
    opset: int = 0,
    shrink: bool = False,
) -> Path:
    """Write the folder; it appears when it is complete.

    Args:
        store: Results.
        cell_id: Beginning of the cell's id.
        target: Folder to make, or None for ``exports/<cell>`` among the results.
        onnx: Whether to add ``model.onnx``.
        opset: Version of ONNX's operators; 0 for the default.
        shrink: Whether removed heads and neurons are left out, instead of stored as zeros.

    Returns:
        The folder.

    Raises:
        StoreError: There is no such finished cell, or the target can't be written.
        CorruptDataError: The weights are not those that the record was written with.
        ModelError: ONNX can't be written, or does not agree with torch; or there is nothing to
            shrink.
    """
    folder, record = _finished(store, cell_id)
    cell = _cell(record, folder)
    target = target or store.root / "exports" / folder.path.name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target}: is there already; remove it or give another folder with --to")
    temporary = target.absolute().with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Content alone: weights are written for their owner's eyes, an export is for others'.
        shutil.copytree(folder.path / "weights", temporary, copy_function=shutil.copyfile)
        check_weights(temporary, record, named=folder.path / "weights")
        shrunk = _shrink(temporary, cell) if shrink else None
        checked = _onnx(temporary, cell, opset) if onnx else None
        _write_card(store, folder, record, temporary, checked, shrunk)
        sync_folder(temporary)
        if target.is_dir():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise StoreError(f"{target}: can't be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def finished_cell(store: Store, cell_id: str) -> tuple[CellFolder, Record, Cell]:
    """A finished cell whose weights are there, by the beginning of its id.

    Raises:
        StoreError: There is none, or it is of a version or a task that is not known here.
    """
    folder, record = _finished(store, cell_id)
    return folder, record, _cell(record, folder)


def _finished(store: Store, cell_id: str) -> tuple[CellFolder, Record]:
    folder = store.by_id(cell_id)
    if folder is None:
        raise StoreError(
            f"no cell below {store.cells} has an id that starts with {cell_id!r} alone"
        )
    record = folder.record()
    if record is None:
        state = folder.state()
        raise StoreError(
            f"{folder.path.name} is {state}, not done: only finished cells are exported; "
            f"see smc-bench logs {cell_id}"
        )
    if not (folder.path / "weights" / WEIGHTS).is_file():
        raise StoreError(f"{folder.path}: has a record but no weights/{WEIGHTS}; run it --force")
    return folder, record


def _cell(record: Record, folder: CellFolder) -> Cell:
    from smc_bench.tasks.specs import SPECS

    cell = parse_cell(record.cell, folder.path / "record.json")
    if cell is None:
        raise StoreError(f"{folder.path}: a record of a version that can't be exported any more")
    if cell.task.name not in SPECS:
        raise StoreError(
            f"{folder.path.name}: its task {cell.task.name} is not known here; "
            "name the file that has it with --include"
        )
    return cell


def _shrink(folder: Path, cell: Cell) -> Shrinking:
    """Put a smaller model in the place of one with removed units; what was done, in words."""
    from smc_bench.export.shrink import check_same, save_shrunk, shrink
    from smc_bench.models.load import load_model
    from smc_bench.tasks.registry import get_task

    task = get_task(cell.task.name)
    model = load_model(folder, task.head, task.spec.labels, seed=cell.seed, finished=True)
    small, what = shrink(model)
    if not what.anything:
        raise ModelError(
            f"{cell.folder}: nothing to shrink: no head and no neuron has all of its output "
            "weights zero; export without --shrink"
        )
    save_shrunk(small, folder)
    difference = check_same(model, folder, task.head, task.spec.labels)
    return Shrinking(
        f"{what}; logits within {difference:.1g} of the pruned model's in float64", what.uniform
    )


def _onnx(folder: Path, cell: Cell, opset: int) -> str:
    """Write ``model.onnx``; what was checked, in words."""
    from smc_bench.export.onnx import OPSET, write_onnx
    from smc_bench.models.load import load_model
    from smc_bench.tasks.registry import get_task

    task = get_task(cell.task.name)
    model = load_model(folder, task.head, task.spec.labels, seed=cell.seed, finished=True)
    report = write_onnx(model, task.head, folder / "model.onnx", opset=opset or OPSET)
    same = f"opset {opset or OPSET}; its prunable weights are those of {WEIGHTS} to the bit"
    if report.difference is None:
        return f"{same}; what it computes was not checked (onnxruntime is not installed)"
    return f"{same}; its logits differ from torch's by {report.difference:.1g} at most (random ids)"


def _write_card(
    store: Store,
    folder: CellFolder,
    record: Record,
    target: Path,
    checked: str | None,
    shrunk: Shrinking | None,
) -> None:
    # A copy of the record goes along, so that whoever has the folder has every setting.
    content = read_json(folder.path / "record.json")
    if str(content["cell"].get("model_pin", "")).startswith("path:"):  # of older versions
        content["cell"]["model"] = Path(content["cell"]["model"]).name  # a path is private
    write_json(target / "smc_bench_record.json", content)
    above = store.by_id(str(record.cell["teacher"])) if record.cell.get("teacher") else None
    teacher = above.record() if above and not above.damage() else None
    note = content.get("note")
    from smc_bench.tasks.specs import SPECS

    classes = (read_json(target / "config.json") or {}).get("architectures") or [""]
    flat = SPECS[record.cell["task"]["name"]].family == "multiple_choice"
    card = model_card(
        record,
        teacher,
        str(note) if note else None,
        checked,
        shrunk,
        flat_choices=flat and str(classes[0]).endswith("ForSequenceClassification"),
    )
    (target / "README.md").write_text(str(card), encoding="utf-8")
