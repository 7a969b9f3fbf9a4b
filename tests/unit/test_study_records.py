"""Small records go out of a results folder and come back as they were."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "records.py"


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("records_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished(results: Path, name: str, *, dense: bool, weights: str = "aa") -> Path:
    folder = results / "cells" / "sst2" / name
    folder.mkdir(parents=True)
    schedule = None if dense else {"kind": "one_shot"}
    record = {
        "reportable": True,
        "cell": {"recipe": {"sparsity_schedule": schedule}},
        "weights_sha256": weights,
        "metrics": {"accuracy": 81.0},
    }
    (folder / "cell.json").write_text(json.dumps(record["cell"]))
    (folder / "record.json").write_text(json.dumps(record))
    predictions = {"validation": {"predictions": [1, 0], "correct": [1, 1]}}
    (folder / "predictions.json.gz").write_bytes(gzip.compress(json.dumps(predictions).encode()))
    lines = [{"phase": "train", "step": i, "loss": 1 / i, "time": 3.0} for i in range(1, 501)]
    lines.append({"phase": "evaluate", "step": 872})
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


def test_what_is_collected_is_restored_without_weights(script: Any, tmp_path: Path) -> None:
    first = finished(tmp_path / "one", "model-gmp-0.8-s1-abc", dense=False)
    finished(tmp_path / "one", "model-dense-s1-def", dense=True)
    script.collect(tmp_path / "one", tmp_path / "records")
    script.restore(tmp_path / "records", tmp_path / "two", dense=False)
    (folder,) = (tmp_path / "two" / "cells" / "sst2").iterdir()
    assert folder.name == first.name
    for name in ("record.json", "cell.json"):
        assert json.loads((folder / name).read_text()) == json.loads((first / name).read_text())
    read = [gzip.decompress((f / "predictions.json.gz").read_bytes()) for f in (folder, first)]
    assert json.loads(read[0]) == json.loads(read[1])
    curve = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert len(curve) <= 120
    assert curve[-1] == {"phase": "train", "step": 500, "loss": 1 / 500}
    script.restore(tmp_path / "records", tmp_path / "two", dense=True)
    assert len(list((tmp_path / "two" / "cells" / "sst2").iterdir())) == 2


def test_a_record_that_is_there_is_never_overwritten(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path / "one", "model-dense-s1-def", dense=True)
    script.collect(tmp_path / "one", tmp_path / "records")
    (kept,) = (tmp_path / "records" / "sst2").iterdir()
    before = kept.read_bytes()
    finished(tmp_path / "two", "model-dense-s1-def", dense=True, weights="bb")
    script.collect(tmp_path / "two", tmp_path / "records")
    assert kept.read_bytes() == before
    assert "other weights; the first record stays" in capsys.readouterr().err
