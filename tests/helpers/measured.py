"""Made-up measurements, and a finished cell whose model has lost units."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.models.load import load_model, load_tokenizer
from smc_bench.models.units import units
from smc_bench.sources import Lock, Roots
from smc_bench.store.measured import Measured
from smc_bench.store.store import Store
from smc_bench.suite.expand import Entry, expand
from smc_bench.suite.load import load_suite
from tests.helpers.records import suite_file, write_cell
from tests.helpers.shrinking import zero

FIXTURES = Path(__file__).parents[1] / "fixtures"


def measured_of(
    cell: str,
    weights: str,
    times: dict[tuple[str, int], tuple[float, float]],
    *,
    processor: str = "a processor",
    threads: int = 1,
    load: float = 0.1,
) -> Measured:
    """Measurements of known truth: by engine and batch, milliseconds of dense and of the cell's."""
    size = {"encoder_parameters": 800, "length": 128, "gzip_bytes": 4_000_000}
    speeds = [
        {
            "machine": {"processor": processor, "cores": 4, "threads": threads},
            "engine": engine,
            "version": "9.9",
            "batch": batch,
            "length": 128,
            "shrunk": True,
            "dense_ms": [0.9 * dense, dense, 1.1 * dense],
            "ms": [0.9 * own, own, 1.1 * own],
            "dense_cpu_ms": [dense] * 3,
            "cpu_ms": [own] * 3,
            "load": load,
            "time": "2026-01-01T00:00:00+00:00",
        }
        for (engine, batch), (dense, own) in times.items()
    ]
    content = {
        "cell_id": cell,
        "weights_sha256": weights,
        "size": {**size, "parameters": 10_000_000, "encoder_macs": 300_000_000},
        "dense": {**size, "parameters": 20_000_000, "encoder_macs": 1_200_000_000},
        "units": {"heads": (1, 4), "neurons": (2, 8)},
        "speeds": speeds,
    }
    return Measured.model_validate_json(json.dumps(content))


def finished_cell(folder: Path, tiny_model: Path) -> tuple[Store, Entry, Any]:
    """A finished cell on SST-2 whose model has lost the first head of each layer and 3 neurons."""
    store = Store(folder / "results")
    suite = suite_file(folder, tasks="{name: sst2, max_length: 32}", model=str(tiny_model))
    lock = Lock.load(store.root / "lock.json")
    pins = SourcePins(Roots(FIXTURES, folder / "cache", True), lock, network=False)
    entry = next(e for e in expand(load_suite(suite), pins).entries if e.arm == "good")
    write_cell(store, entry, [1.0, 0.0])
    model = load_model(tiny_model, "sequence_classification", 2, seed=1).eval()
    gone = [u for u in units(model, ["head"]) if u.index == 0]
    gone += [u for u in units(model, ["neuron"]) if u.layer == 1 and u.index < 3]
    zero(model, gone)
    path = store.folder(entry.cell.folder).path
    model.save_pretrained(path / "weights")
    load_tokenizer(tiny_model).save_pretrained(path / "weights")
    digest = hashlib.sha256((path / "weights" / "model.safetensors").read_bytes()).hexdigest()
    record = json.loads((path / "record.json").read_text())
    (path / "record.json").write_text(json.dumps(record | {"weights_sha256": digest}))
    return store, entry, model
