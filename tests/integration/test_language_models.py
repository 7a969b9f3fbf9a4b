"""A suite of a tiny GPT-2 from check to page: perplexity, and answers that it writes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from smc_bench.api import open_results
from smc_bench.tasks.language_modelling import windows
from tests.helpers.architectures import tiny_config
from tests.helpers.tokenizer import FIXTURES, fixture_rows, wordpiece

ROWS = FIXTURES / "wikitext" / "wikitext-2-raw-v1"

SUITE = """
name: writes
title: Writes
tasks: [{task}]
model: {model}
sparsity: [0.5]
seeds: [1]
baseline: dense
arms:
  GMP: {{scope: [encoder], sparsity_schedule: {{kind: one_shot, at: 4it}}}}
  distilled:
    scope: [encoder]
    sparsity_schedule: {{kind: one_shot, at: 4it}}
    distillation: {{hardness: 1.0, temperature: 5.5}}
recipe:
  lr_schedule: {{peak: 1e-3}}
  train: {{duration: 8it, batch: 4, precision: fp32}}
"""


def smc(*words: object, code: int = 0) -> str:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    lines = [path.read_text() for path in sorted(ROWS.glob("*.jsonl"))]
    texts = [json.loads(line)["text"] for part in lines for line in part.splitlines()]
    raw = wordpiece([*texts, "context : question : answer :"], types=False).backend_tokenizer
    raw.post_processor = None
    names = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    sizes = {"vocab_size": len(tokenizer), "n_positions": 1024, "max_position_embeddings": 1024}
    config = tiny_config("gpt2", **sizes, initializer_range=0.02)
    config.pad_token_id = None
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("wikitext", "squad"):
        (tmp_path / "data" / name).symlink_to(FIXTURES / name)
    return tmp_path / "data"


def suite(folder: Path, task: str, model: Path) -> Path:
    path = folder / "writes.yaml"
    path.write_text(SUITE.format(task=task, model=model))
    return path


def test_perplexity_from_check_to_page(tmp_path: Path, model: Path, mirror: Path) -> None:
    path = suite(tmp_path, "{name: wikitext2, max_length: 12}", model)
    results = tmp_path / "results"
    given = ("--results", results, "--data-root", mirror)
    assert "ok (2 arms; wikitext2" in smc("check", path)
    assert "3 cells" in smc("plan", path, *given)
    smc("run", path, *given, "--jobs", 1)
    table = smc("table", path, *given)
    assert "wikitext2**, perplexity, lower is better: dense" in table
    page = (results / "reports" / "writes" / "default" / "report.html").read_text()
    assert "perplexity, lower is better" in page
    stored = open_results(results)
    for file in results.glob("cells/wikitext2/*/record.json"):
        record = json.loads(file.read_text())
        nats, tokens = scored_by_hand(file.parent / "weights")
        rate = sum(nats) / sum(tokens)
        assert record["metrics"]["nats_per_token"] == pytest.approx(rate, rel=1e-5)
        assert record["metrics"]["perplexity"] == pytest.approx(math.exp(rate), rel=1e-5)
        rows = stored.predictions(record["cell_id"])
        np.testing.assert_allclose(rows["correct"], nats, rtol=1e-5)
        np.testing.assert_array_equal(rows["weight"], tokens)
        assert record["trivial"]["perplexity"] > 1.0
        assert record["padding"] == "none"
        assert not record["outputs"]["validation"]["all_equal"]
    assert smc("merge", results, "--results", tmp_path / "there").startswith("3 added")


def test_a_pretrained_model_is_pruned_without_training(
    tmp_path: Path, model: Path, mirror: Path
) -> None:
    untrained = "train: {duration: 0it, batch: 4, precision: fp32, start_from: teacher}"
    path = suite(tmp_path, "{name: wikitext2, max_length: 12}", model)
    text = path.read_text()
    text = text[: text.index("  distilled:")] + text[text.index("recipe:\n") :]
    text = text.replace("at: 4it", "at: 0it").replace("  GMP: {", f"  GMP: {{{untrained}, ")
    path.write_text(text.replace("duration: 8it", "duration: 0it"))
    results = tmp_path / "results"
    smc("run", path, "--results", results, "--data-root", mirror, "--jobs", 1)
    for file in results.glob("cells/wikitext2/*/record.json"):
        record = json.loads(file.read_text())
        dense = "-dense-" in file.parent.name
        nats, tokens = scored_by_hand(model if dense else file.parent / "weights")
        assert record["total_steps"] == 0
        rate = sum(nats) / sum(tokens)
        assert record["metrics"]["nats_per_token"] == pytest.approx(rate, rel=1e-5)
        count = record["sparsity"]["components"]["encoder"]
        assert count["zeros"] == (0 if dense else round(0.5 * count["total"]))
    path.write_text(path.read_text().replace("wikitext2, max_length: 12", "sst2"))
    assert "recipe.train.duration: 0it is no step of training" in smc("check", path, code=1)


@torch.no_grad()
def scored_by_hand(folder: Path) -> tuple[list[float], list[int]]:
    """Nats and tokens of each document, token by token, by transformers' own class."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    nats, tokens = [], []
    for line in (ROWS / "validation.jsonl").read_text().splitlines():
        ids = tokenizer(json.loads(line)["text"])["input_ids"]
        total, count = 0.0, 0
        for window in windows(ids, 12):
            for at in range(1, len(window)):
                logits = model(input_ids=torch.tensor([window[:at]])).logits[0, -1]
                total -= float(torch.log_softmax(logits.double(), -1)[window[at]])
                count += 1
        nats.append(total)
        tokens.append(count)
    return nats, tokens


def test_answers_are_written_and_kept(tmp_path: Path, model: Path, mirror: Path) -> None:
    path = suite(tmp_path, "{name: squad_writing, max_length: 1000}", model)
    results = tmp_path / "results"
    smc("check", path)
    smc("run", path, "--results", results, "--data-root", mirror, "--only", "arm=dense")
    (file,) = results.glob("cells/squad_writing/*/record.json")
    record = json.loads(file.read_text())
    assert set(record["metrics"]) == {"exact_match", "f1"}
    rows = open_results(results).predictions(record["cell_id"])
    from smc_bench.tasks.specs import SPECS

    assert len(rows) == len(fixture_rows(SPECS["squad_writing"], "validation"))
    assert all(isinstance(text, str) and "\n" not in text for text in rows["prediction"])
    assert smc("merge", results, "--results", tmp_path / "there").startswith("1 added")


def test_check_refuses_spans_of_a_decoder(tmp_path: Path, model: Path) -> None:
    path = suite(tmp_path, "squad", model)
    told = smc("check", path, code=1)
    assert "config.json: the architecture 'gpt2' is that of a decoder, which marks no spans" in told
