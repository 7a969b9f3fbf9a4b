"""Tables of latencies: how they are made from whole models' times, kept, and looked up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from smc_bench.dispatch.inputs import latencies
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.engine.pruning.latency import SpeedTarget
from smc_bench.errors import StoreError
from smc_bench.export.latency import measure_table, points, random_model, shaped, table_of
from smc_bench.export.measure import OPSET
from smc_bench.models.units import blocks
from smc_bench.sources import Lock, Roots

ASKED = SpeedTarget(speedup=1.1, batch=2, length=8)
# Three layers, whose heads take h + 1 ms and neurons n / 8 ms, on top of 5 ms.
MS = {
    (0, 0): 5.0, (1, 0): 5.0 + 3 * 2, (2, 0): 5.0 + 3 * 3, (0, 8): 5.0 + 3 * 1,
    (0, 16): 5.0 + 3 * 2, (2, 16): 19.5,
}  # fmt: skip


def test_a_layers_time_is_the_difference_over_the_layers() -> None:
    table = table_of(MS, 3, ASKED, "7", 0.2)
    assert table.rest_ms == 5.0
    assert table.heads == ((0, 0.0), (1, 2.0), (2, 3.0))
    assert table.neurons == ((0, 0.0), (8, 1.0), (16, 2.0))
    assert table.dense_ms == 5.0 + 3 * (3.0 + 2.0)
    assert table.load == 0.2
    assert (table.whole_ms, table.version, table.batch, table.length) == (19.5, "7", 2, 8)
    # Interpolated between 8 and 16 neurons; two thousand ticks are a fifth of the dense time.
    assert table.ticks("neuron")[12] == round(1.5 / 20 * 10_000)
    assert table.fastest("heads") == pytest.approx(20 / 11)
    assert table.fastest("heads+neurons") == pytest.approx(20 / 5)


def test_noise_makes_no_larger_layer_faster() -> None:
    noisy = {**MS, (1, 0): 4.0, (2, 0): 5.0 + 3 * 3}
    assert table_of(noisy, 3, ASKED, "7", 0.2).heads == ((0, 0.0), (1, 0.0), (2, 3.0))


def test_points_hold_none_and_all() -> None:
    assert points(4) == [0, 1, 2, 3, 4]
    assert points(1536) == [128 * i for i in range(13)]


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 7), (2, 32)])
def test_shaped_models_have_these_layers_and_numbers(
    shape: tuple[int, int], tiny_model: Path
) -> None:
    made = shaped(random_model(tiny_model), shape)
    assert [(b.groups, b.neurons) for b in blocks(made)] == [shape, shape]
    with torch.no_grad():
        assert bool(torch.isfinite(made(torch.tensor([[2, 5, 3]])).logits).all())


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_a_real_table(engine: str, tiny_model: Path) -> None:
    if engine != "torch":
        pytest.importorskip(engine)
        pytest.importorskip("onnx")
    asked = SpeedTarget(speedup=1.1, engine=engine, batch=2, length=8)  # type: ignore[arg-type]
    table = measure_table(tiny_model, asked, rounds=1, repeats=1)
    assert (table.layers, table.count("head"), table.count("neuron")) == (2, 2, 32)
    assert [count for count, _ in table.heads] == [0, 1, 2]
    assert (table.engine, table.batch, table.length, table.threads) == (engine, 2, 8, 1)


def test_kept_by_what_its_times_hang_on(tmp_path: Path) -> None:
    table, key = table_of(MS, 3, ASKED, "7", 0.2), latencies.key_of(ASKED, "path:sha256:1")
    assert latencies.stored(tmp_path, key) is None
    path = latencies.path_of(tmp_path, key)
    path.parent.mkdir()
    content = {"key": key, "sha256": table.sha256, "table": table.model_dump(mode="json")}
    path.write_text(json.dumps(content))
    assert latencies.stored(tmp_path, key) == table
    assert latencies.named(path) == table
    for other in (
        latencies.key_of(ASKED, "path:sha256:2"),
        {**key, "processor": "another"},
        {**key, "versions": ["0", "0"]},
        latencies.key_of(ASKED.model_copy(update={"length": 16}), "path:sha256:1"),
    ):
        assert latencies.stored(tmp_path, other) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": {}}, "not of the key"),
        ({"sha256": "0" * 64}, "was changed"),
        ({"table": {"engine": "torch"}}, r"table\.processor: Field required"),
    ],
)
def test_a_changed_file_is_no_table(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    table, key = table_of(MS, 3, ASKED, "7", 0.2), latencies.key_of(ASKED, "pin")
    content = {"key": key, "sha256": table.sha256, "table": table.model_dump(mode="json")}
    path = latencies.path_of(tmp_path, key)
    path.parent.mkdir()
    path.write_text(json.dumps(content | change))
    with pytest.raises(StoreError, match=message):
        latencies.stored(tmp_path, key)
    with pytest.raises(StoreError, match="there is no file"):
        latencies.named(tmp_path / "none.json")


def test_a_model_without_any_head_is_written_and_run(tmp_path: Path, tiny_model: Path) -> None:
    """Its graph reads no attention mask, which engines would be given all the same."""
    pytest.importorskip("onnxruntime")
    from smc_bench.export.onnx import write_onnx

    made = shaped(random_model(tiny_model), (0, 16))
    path = tmp_path / "model.onnx"
    report = write_onnx(made, "sequence_classification", path, shape=(2, 8), opset=OPSET)
    assert report.difference is not None


def test_an_engine_that_is_not_here_is_said_only_where_it_is_needed(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan without measuring has no table yet; measuring names what to install."""
    monkeypatch.setattr(latencies, "installed", lambda engine: False)
    lock, roots = Lock.load(tmp_path / "lock.json"), Roots(tmp_path, tmp_path / "cache", True)
    asked, suite = SpeedTarget(speedup=2.0, engine="openvino"), tmp_path / "suite.yaml"
    plain = SourcePins(roots, lock, network=False)
    assert plain.latencies(asked, str(tiny_model), suite) is None
    measuring = SourcePins(roots, lock, network=False, measure=True)
    with pytest.raises(StoreError, match="openvino is not installed"):
        measuring.latencies(asked, str(tiny_model), suite)
