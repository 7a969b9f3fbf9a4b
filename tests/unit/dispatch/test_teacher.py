"""A teacher's logits, drawn by the verb: against transformers itself, on a tiny random model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from smc_bench.cli.main import cli
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.dispatch.inputs.teacher import teacher_logits
from smc_bench.engine.outputs import outputs_of, trained_rows
from smc_bench.engine.seeding import generator
from smc_bench.errors import DamagedError, MissingDataError
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import Store
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.tasks.base import Encoding
from tests.helpers.records import write_cell

TEXTS = ["the film was good .", "bad", "a very poor plot and the actor was not fine ."]


def save_classifier(model: Path, folder: Path) -> Path:
    torch.manual_seed(3)
    AutoModelForSequenceClassification.from_pretrained(model).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def test_logits_are_those_of_transformers(tiny_model: Path, tmp_path: Path) -> None:
    folder = save_classifier(tiny_model, tmp_path / "weights")
    rows = [{"sentence": text, "label": 0, "idx": i} for i, text in enumerate(TEXTS)]
    ours = outputs_of(folder, "sst2", Encoding(16), rows)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for (mine,), text in zip(ours, TEXTS, strict=True):
        with torch.no_grad():
            theirs = model(**tokenizer(text, return_tensors="pt")).logits[0].numpy()
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_rows_are_some_of_those_that_were_trained_on() -> None:
    rows = [{"i": i} for i in range(50)]
    trained = set(generator(0, "rows").permutation(50)[:20])
    chosen = [row["i"] for row in trained_rows(rows, 20, 8)]
    assert len(set(chosen)) == 8
    assert set(chosen) <= trained
    assert [row["i"] for row in trained_rows(rows, None, 5)] == [0, 10, 20, 30, 40]
    assert len(trained_rows(rows, 20, 1000)) == 20


def test_the_verb_wants_a_finished_teacher_and_then_draws(
    suite_file: Path, mirror: Path, tiny_model: Path, tmp_path: Path
) -> None:
    results, roots = tmp_path / "results", Roots.from_environment(mirror, None)
    words = ["temperatures", str(suite_file), "--results", str(results), "--data-root", str(mirror)]
    early = CliRunner().invoke(cli, words)
    assert early.exit_code == 1
    assert "has not finished: run the suite with --only arm=dense" in early.output
    pins = SourcePins(roots, Lock.load(results / "lock.json"), network=False)
    teacher = expand(load_suite(suite_file), pins).entries[0]
    store = Store(results)
    write_cell(store, teacher, [1.0] * 24)
    with pytest.raises(MissingDataError, match="run the teacher again"):
        teacher_logits(teacher.cell, store, roots, 5)
    folder = store.folder(teacher.cell.folder).path
    save_classifier(tiny_model, folder / "weights")
    with pytest.raises(DamagedError, match=r"model\.safetensors has the sha256"):
        teacher_logits(teacher.cell, store, roots, 5)
    digest = hashlib.sha256((folder / "weights" / "model.safetensors").read_bytes()).hexdigest()
    content = json.loads((folder / "record.json").read_text()) | {"weights_sha256": digest}
    (folder / "record.json").write_text(json.dumps(content))
    assert len(teacher_logits(teacher.cell, store, roots, 5)) == 5
    done = CliRunner().invoke(cli, [*words, "--rows", "10", "--temperature", "1.5"])
    assert done.exit_code == 0, done.output
    assert "on 10 training sequences" in done.output
    assert (results / "reports" / "tiny" / "laptop" / "temperatures_sst2.pdf").is_file()
    assert np.isfinite(teacher_logits(teacher.cell, store, roots, 3)[0][0]).all()
