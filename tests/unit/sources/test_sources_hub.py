"""The Hub, played by a server on this machine: fetch once, kill it, go on without it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

FIRST, SECOND, MODEL = "1" * 40, "2" * 40, "a" * 40

PREAMBLE = """
import dataclasses, json, os, sys
from pathlib import Path
from smc_bench.errors import SmcBenchError
from smc_bench.sources import Lock, Roots, rows, weights
from smc_bench.tasks.specs import SPECS
spec = dataclasses.replace(SPECS["sst2"], hub="owner/reviews", config="sst2")
lock = Lock.load(Path(os.environ["LOCK"]))
roots = Roots.from_environment()
def failure(call):
    try:
        call()
    except SmcBenchError as error:
        return f"{type(error).__name__}: {error}"
"""

FETCH_ROWS = """
before = rows.resolve(spec, "sst2", "validation", roots, lock, network=False)
pin = rows.fetch(spec, "sst2", "validation", roots, lock)
print(json.dumps({
    "before": before, "identity": pin.identity, "locked": lock.get("data", "owner/reviews"),
    "rows": rows.load(spec, "sst2", "validation", pin, roots),
    "missing": failure(lambda: rows.fetch(spec, "sst2", "nowhere", roots, lock)),
    "left": [p.name for p in roots.cache.rglob(".scratch*")],
}))
"""

LOAD_ROWS = """
pin = rows.resolve(spec, "sst2", "validation", roots, lock, network=False)
print(json.dumps({
    "identity": pin.identity, "rows": rows.load(spec, "sst2", "validation", pin, roots),
    "train": failure(lambda: rows.resolve(spec, "sst2", "train", roots, lock, network=True)),
    "heavy": sorted({"datasets", "torch", "transformers"} & set(sys.modules)),
}))
"""

RESOLVE_ROWS = """
pin = rows.resolve(spec, "sst2", "validation", roots, lock, network=True)
print(json.dumps({"identity": pin.identity, "locked": lock.get("data", "owner/reviews")}))
"""

FETCH_MODEL = """
ref = weights.ModelRef.parse("owner/tiny")
before = weights.resolve(ref, roots, lock, network=False)
pin = weights.fetch(ref, roots, lock)
print(json.dumps({
    "before": before, "identity": pin.identity,
    "files": sorted(p.name for p in weights.folder(ref, pin, roots).iterdir()),
    "pickled": failure(lambda: weights.fetch(weights.ModelRef.parse("owner/old"), roots, lock)),
    "absent": failure(lambda: weights.fetch(weights.ModelRef.parse("owner/none"), roots, lock)),
}))
"""

LOAD_MODEL = """
ref = weights.ModelRef.parse("owner/tiny")
pin = weights.resolve(ref, roots, lock, network=False)
other = weights.ModelRef.parse("owner/other")
print(json.dumps({
    "identity": pin.identity,
    "files": sorted(p.name for p in weights.folder(ref, pin, roots).iterdir()),
    "other": failure(lambda: weights.resolve(other, roots, lock, network=True)),
}))
"""

CARD = b"""---
configs:
- config_name: sst2
  data_files:
  - split: train
    path: sst2/train.parquet
  - split: validation
    path: sst2/validation.parquet
dataset_info:
  config_name: sst2
  features:
  - name: sentence
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': negative
          '1': positive
  - name: idx
    dtype: int32
---
"""


def _parquet(*sentences: str) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {
        "sentence": list(sentences),
        "label": pa.array([i % 2 for i in range(len(sentences))], pa.int64()),
        "idx": pa.array(range(len(sentences)), pa.int32()),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _dataset_files(word: str) -> dict[str, bytes]:
    return {
        "README.md": CARD,
        "sst2/train.parquet": _parquet(f"{word} train"),
        "sst2/validation.parquet": _parquet(f"{word} one", f"{word} two"),
    }


def test_rows_are_fetched_once_and_loaded_without_the_hub(
    fake_hub: Callable[..., Any], fake_repo: Callable[..., Any], run_python: Callable[..., Any]
) -> None:
    hub = fake_hub(fake_repo("datasets", "owner/reviews", FIRST, _dataset_files("first")))
    address = hub.address
    fetched = run_python(PREAMBLE + FETCH_ROWS, address)
    assert fetched["before"] is None
    assert fetched["identity"] == f"hub:{FIRST}"
    assert fetched["locked"] == FIRST
    assert fetched["rows"] == [
        {"sentence": "first one", "label": 0, "idx": 0},
        {"sentence": "first two", "label": 1, "idx": 1},
    ]
    assert "MissingDataError" in fetched["missing"]
    assert "nowhere" in fetched["missing"]
    assert fetched["left"] == []

    # main moves on; the lock, and the copy that was fetched, hold.
    hub.repos.append(fake_repo("datasets", "owner/reviews", SECOND, _dataset_files("second")))
    assert run_python(PREAMBLE + RESOLVE_ROWS, address)["identity"] == f"hub:{FIRST}"

    hub.stop()
    loaded = run_python(PREAMBLE + LOAD_ROWS, address, HF_HUB_OFFLINE="1")
    assert loaded["identity"] == f"hub:{FIRST}"
    assert loaded["rows"] == fetched["rows"]
    assert "MissingDataError" in loaded["train"]
    assert FIRST in loaded["train"]
    assert loaded["heavy"] == []


def test_resolving_asks_the_hub_for_the_commit_alone(
    fake_hub: Callable[..., Any], fake_repo: Callable[..., Any], run_python: Callable[..., Any]
) -> None:
    hub = fake_hub(fake_repo("datasets", "owner/reviews", FIRST, _dataset_files("first")))
    assert run_python(PREAMBLE + RESOLVE_ROWS, hub.address) == {
        "identity": f"hub:{FIRST}",
        "locked": FIRST,
    }
    assert len(hub.log) == 1


def test_a_model_is_fetched_once_and_found_without_the_hub(
    fake_hub: Callable[..., Any],
    fake_repo: Callable[..., Any],
    run_python: Callable[..., Any],
    model_files: dict[str, bytes],
) -> None:
    pickled = {"config.json": b"{}", "pytorch_model.bin": b"no"}
    hub = fake_hub(
        fake_repo("models", "owner/tiny", MODEL, {**model_files, "pytorch_model.bin": b"no"}),
        fake_repo("models", "owner/old", MODEL, pickled),
    )
    address = hub.address
    fetched = run_python(PREAMBLE + FETCH_MODEL, address)
    assert fetched["before"] is None
    assert fetched["identity"] == f"hub:{MODEL}"
    assert fetched["files"] == sorted(set(model_files) - {"README.md"})
    assert fetched["pickled"].startswith("ModelError")
    assert "pytorch_model.bin" in fetched["pickled"]
    assert fetched["absent"].startswith("MissingDataError")

    hub.stop()
    loaded = run_python(PREAMBLE + LOAD_MODEL, address, HF_HUB_OFFLINE="1")
    assert loaded["identity"] == fetched["identity"]
    assert loaded["files"] == fetched["files"]
    assert "owner/other" in loaded["other"]


def test_a_hub_that_does_not_answer_is_a_clear_error(run_python: Callable[..., Any]) -> None:
    script = "print(json.dumps(failure(lambda: rows.fetch(spec, 'sst2', 'train', roots, lock))))"
    said = run_python(PREAMBLE + script, "http://127.0.0.1:9")
    assert said.startswith("MissingDataError")
    assert "owner/reviews" in said
    assert "--data-root" in said


def test_a_gated_model_says_how_to_get_access(
    fake_hub: Callable[..., Any],
    fake_repo: Callable[..., Any],
    run_python: Callable[..., Any],
    model_files: dict[str, bytes],
) -> None:
    name = "meta-llama/Llama-3.2-1B"
    hub = fake_hub(fake_repo("models", name, MODEL, model_files, gated=True))
    script = """
def fetch(name):
    return failure(lambda: weights.fetch(weights.ModelRef.parse(name), roots, lock))
print(json.dumps({
    "gated": fetch("meta-llama/Llama-3.2-1B"),
    "absent": fetch("meta-llama/Lama-3.2-1B"),
    "locked": lock.get("model", "meta-llama/Llama-3.2-1B"),
}))
"""
    said = run_python(PREAMBLE + script, hub.address)
    assert said["gated"].startswith("MissingDataError")
    for part in (name, "gated", "licence", "hf auth login", "smc-bench fetch"):
        assert part in said["gated"]
    assert "\n" not in said["gated"]
    assert said["locked"] is None  # what can't be had pins nothing
    assert said["absent"].startswith("MissingDataError")
    assert "no such repository, or it is private" in said["absent"]
    assert "gated" not in said["absent"]
