"""What is measured is the model that the record names, counted by hand, and kept whole."""

from __future__ import annotations

import gzip
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save

from smc_bench.cli.main import cli
from smc_bench.errors import DamagedError, StoreError
from smc_bench.export.measure import Asked, filled, size_of, speeds, take_turns
from smc_bench.export.shrink import shrink
from smc_bench.models.components import component_map
from smc_bench.store.measured import Measured, read_measured, write_measured
from tests.helpers.architectures import tiny_model
from tests.helpers.measured import measured_of
from tests.helpers.shrinking import ENCODERS, some, tiny, zero

SHA = "a" * 64


@pytest.mark.parametrize("kind", ENCODERS)
def test_sizes_against_counts_by_hand(kind: str) -> None:
    model = tiny(kind)
    small, _ = shrink(zero(model, some(model)))
    found = size_of(small, "sequence_classification", 12)
    own = dict(small.named_parameters())
    assert found.parameters == sum(p.numel() for p in own.values())
    blocks = {name: p for name, p in own.items() if ".layer." in name}
    weights = sum(p.numel() for p in blocks.values() if p.ndim == 2)
    queries = ("query.weight", "q_lin.weight", "attn.q.weight")
    heads = sum(p.shape[0] for name, p in blocks.items() if name.endswith(queries))
    assert found.encoder_macs == 12 * weights + 2 * 12 * 12 * heads
    bias = sum(p.numel() for name, p in own.items() if "relative_attention_bias" in name)
    assert found.encoder_parameters == sum(p.numel() for p in blocks.values()) + bias
    packed = gzip.compress(save({k: v.contiguous() for k, v in small.state_dict().items()}))
    assert abs(found.gzip_bytes - len(packed)) < 0.02 * len(packed)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2", "gpt_neox", "opt", "albert"])
def test_macs_of_the_blocks_alone(kind: str) -> None:
    """Decoders' blocks are lists, and projections of embeddings lie inside some models' blocks."""
    model, length = tiny_model(kind, "sequence_classification", 2), 12
    found = size_of(model, "sequence_classification", length)
    own = dict(model.named_parameters())
    weights = sum(own[name].numel() for name in component_map(model).in_scope(["encoder"]))
    calls = 2 if kind == "albert" else 1  # one set of blocks, called twice
    # Two blocks; scores and context of attention over 32 features each.
    assert found.encoder_macs == calls * weights * length + 2 * 2 * length * length * 32


def test_the_model_it_is_held_against_has_no_zeros_and_the_same_shapes() -> None:
    model = zero(tiny("bert"), some(tiny("bert")))
    dense = filled(model)
    parameters = dict(dense.named_parameters())
    for name in component_map(model).prunable:
        assert bool((parameters[name] != 0).all())
    shapes = [p.shape for p in model.parameters()]
    assert [p.shape for p in dense.parameters()] == shapes


def test_every_round_has_one_turn_of_each() -> None:
    calls: list[str] = []

    def run(name: str) -> Callable[[], np.ndarray[Any, Any]]:
        def go() -> np.ndarray[Any, Any]:
            calls.append(name)
            return np.zeros(1)

        return go

    taken = take_turns({name: run(name) for name in "abc"}, rounds=4, repeats=2)
    assert {key: (len(wall), len(cpu)) for key, (wall, cpu) in taken.items()} == dict.fromkeys(
        "abc", (4, 4)
    )
    turns = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert all(len(set(turn)) == 1 for turn in turns)
    rounds = ["".join(turn[0] for turn in turns[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(each) == list("abc") for each in rounds)
    assert len(set(rounds)) > 1


def test_engines_are_named_and_hold_the_same_model() -> None:
    pytest.importorskip("onnxruntime", reason="the extra inference is not installed")
    pytest.importorskip("openvino", reason="the extra inference is not installed")
    model = zero(tiny("bert"), some(tiny("bert")))
    small, _ = shrink(model)
    said: list[str] = []
    asked = Asked(("torch", "onnxruntime", "openvino"), (1, 2), 8, rounds=2, repeats=1)
    versions: dict[Any, str] = {"torch": "1", "onnxruntime": "2", "openvino": "3"}
    found = speeds(filled(model), small, "sequence_classification", asked, versions, said.append)
    assert [(s.engine, s.version, s.batch) for s in found] == [
        (engine, versions[engine], batch) for batch in (1, 2) for engine in asked.engines
    ]
    assert all(len(s.ms) == len(s.dense_ms) == 2 and s.length == 8 for s in found)
    assert {s.machine.threads for s in found} == {1}
    assert all(s.machine.processor for s in found)
    assert len(said) == 6


def test_what_was_measured_is_read_back(tmp_path: Path) -> None:
    kept = measured_of("c" * 12, SHA, {("torch", 1): (10.0, 5.0)})
    write_measured(tmp_path, kept)
    assert read_measured(tmp_path, "c" * 12, SHA) == kept
    assert read_measured(tmp_path / "none", "c" * 12, SHA) is None


def test_newer_times_replace_those_of_one_machine_engine_and_shape_alone() -> None:
    old = measured_of("c", SHA, {("torch", 1): (10.0, 5.0), ("torch", 32): (90.0, 50.0)})
    other = measured_of("c", SHA, {("torch", 1): (4.0, 3.0)}, processor="another")
    new = measured_of("c", SHA, {("torch", 1): (11.0, 6.0)})
    joined = new.joined(other.joined(old))
    found = {(s.machine.processor, s.batch): statistics.median(s.ms) for s in joined.speeds}
    assert found == {("a processor", 1): 6.0, ("a processor", 32): 50.0, ("another", 1): 3.0}
    assert new.joined(measured_of("c", "b" * 64, {("torch", 32): (1.0, 1.0)})) == new


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace("5.0", "2.5"),
        lambda text: text.replace("a processor", "a faster one"),
        lambda text: text.replace(SHA, "b" * 64),
        lambda text: text.replace('"version": 1', '"version": 0'),
    ],
)
def test_damaged_measurements_are_never_used(tmp_path: Path, damage: Callable[[str], str]) -> None:
    path = write_measured(tmp_path, measured_of("c", SHA, {("torch", 1): (10.0, 5.0)}))
    path.write_text(damage(path.read_text()))
    with pytest.raises(DamagedError, match=r"measured\.json.*measure again"):
        read_measured(tmp_path, "c", SHA)


def test_measurements_of_other_weights_are_not_these(tmp_path: Path) -> None:
    path = write_measured(tmp_path, measured_of("c", SHA, {("torch", 1): (10.0, 5.0)}))
    for cell, sha in (("d", SHA), ("c", "b" * 64)):
        with pytest.raises(DamagedError, match="other weights"):
            read_measured(tmp_path, cell, sha)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": 2}))
    with pytest.raises(StoreError, match="newer smc-bench"):
        read_measured(tmp_path, "c", SHA)


def test_nonsense_is_no_measurement() -> None:
    good = measured_of("c", SHA, {("torch", 1): (10.0, 5.0)}).model_dump()
    for change in ({"ms": [0.0]}, {"ms": []}, {"ms": [float("nan")]}, {"batch": 0}):
        speed = {**good["speeds"][0], **change}
        with pytest.raises(ValueError, match="validation error"):
            Measured.model_validate({**good, "speeds": [speed]})


def test_the_verb_says_what_it_can_not_do(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert "no cell below" in run(cli, ["measure", "abc", "--results", str(tmp_path)]).output
    wrong = run(cli, ["measure", "abc", "--engine", "torch,tensorrt"])
    assert wrong.exit_code == 2
    assert "tensorrt" in wrong.output
    assert run(cli, ["measure", "abc", "--batch", "1,0"]).exit_code == 2


def test_a_cell_is_measured_beside_its_record(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.helpers.measured import finished_cell

    store, entry, model = finished_cell(tmp_path, tiny_model)
    folder = store.folder(entry.cell.folder).path
    words = ["measure", entry.cell.id, "--results", str(store.root), "--length", "8"]
    words += ["--batch", "1,2", "--rounds", "2", "--threads", "1"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert str(folder / "measured.json") in done.output
    record = json.loads((folder / "record.json").read_text())
    found = read_measured(folder, entry.cell.id, record["weights_sha256"])
    assert found is not None
    assert found.units == {"heads": (2, 4), "neurons": (3, 64)}
    assert found.dense.parameters == sum(p.numel() for p in model.parameters())
    # A head: query, key and value rows with biases, output columns. A neuron: row, bias, column.
    gone = 2 * (4 * 8 * 16 + 3 * 8) + 3 * (2 * 16 + 1)
    assert found.size.parameters == found.dense.parameters - gone
    assert [(s.batch, s.length, s.engine) for s in found.speeds] == [
        (1, 8, "torch"),
        (2, 8, "torch"),
    ]
    assert found.speeds[0].version == torch.__version__.split("+")[0] or found.speeds[0].version
    (folder / "measured.json").write_text("{}")
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1
    assert "remove it and measure again" in done.output
