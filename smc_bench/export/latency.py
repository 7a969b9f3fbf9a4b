"""Measure a table of latencies: what heads and neurons cost an architecture, in one engine here.

``python -m smc_bench.export.latency FOLDER TARGET`` prints JSON; TARGET is JSON too. Every size is
timed in a whole model whose layers are all alike and have nothing else: heads without neurons,
neurons without heads. A layer's time is the difference from the model with neither, over the
layers. So what engines make of whole graphs is in it. Weights are random and the vocabulary is
small: neither costs time.
"""

from __future__ import annotations

import copy
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget, Times
from smc_bench.errors import SmcBenchError
from smc_bench.export.engines import Run, prepare, version
from smc_bench.export.measure import OPSET, take_turns
from smc_bench.export.onnx import example_inputs, export_graph
from smc_bench.models.conv1d import use_linear
from smc_bench.models.heads import model_class
from smc_bench.models.load import load_config
from smc_bench.models.reshape import reshape
from smc_bench.models.shapes import LayerShape, Shapes
from smc_bench.models.units import blocks
from smc_bench.store.provenance import processor
from smc_bench.tasks.base import Head

_HEAD: Head = "sequence_classification"
_POINTS = 12  # counts above none at which a kind is timed, where a layer has more than so many
_VOCABULARY = 512
ROUNDS, REPEATS = 7, 3
Shape = tuple[int, int]
"""Heads (or groups) and neurons of every layer."""


def measure_table(
    folder: Path, target: SpeedTarget, rounds: int = ROUNDS, repeats: int = REPEATS
) -> LatencyTable:
    """Time all sizes in turns.

    Args:
        folder: The model's; its configuration alone is read.
        target: Engine, batch, length and threads.
        rounds: Rounds, over which medians are taken.
        repeats: Passes of a turn.

    Raises:
        ModelError: The architecture's units are not known, or the engine is not installed.
    """
    installed, load = version(target.engine), round(os.getloadavg()[0], 2)
    model = random_model(folder)
    there = blocks(model)
    dense = (there[0].groups, there[0].neurons)
    heads, neurons = points(dense[0]), points(dense[1])
    shapes = [*((n, 0) for n in heads), *((0, n) for n in neurons if n), dense]
    with tempfile.TemporaryDirectory(prefix="latency-") as name, torch.no_grad():
        runs = {shape: _run(shaped(model, shape), target, Path(name)) for shape in shapes}
        taken = take_turns(runs, rounds, repeats)
    ms = {shape: statistics.median(wall) for shape, (wall, _) in taken.items()}
    return table_of(ms, len(there), target, installed, load)


def points(count: int) -> list[int]:
    """Counts that are timed: all where they are few, else equal steps; none first, all last."""
    steps = count if count <= 2 * _POINTS else _POINTS
    return sorted({round(count * i / steps) for i in range(steps + 1)})


def table_of(
    ms: dict[Shape, float], layers: int, target: SpeedTarget, installed: str, load: float
) -> LatencyTable:
    """A table from the times of whole models.

    Args:
        ms: By shape: heads alone, neurons alone, neither, and the dense model.
        layers: Of each.
        target: Engine, batch, length and threads.
        installed: Version of the engine.
        load: Load average when measuring began.
    """
    rest, dense = ms[0, 0], max(ms)
    heads = {n: time for (n, other), time in ms.items() if not other}
    neurons = {n: time for (other, n), time in ms.items() if not other}
    return LatencyTable(
        processor=processor() or "unknown",
        threads=target.threads,
        engine=target.engine,
        version=installed,
        torch=torch.__version__,
        batch=target.batch,
        length=target.length,
        layers=layers,
        rest_ms=rest,
        heads=_rising(heads, layers),
        neurons=_rising(neurons, layers),
        whole_ms=ms[dense],
        load=load,
    )


def _rising(times: dict[int, float], layers: int) -> Times:
    """By count left, what a layer takes beyond the rest; noise can't make more of them faster."""
    found, most = [], 0.0
    for count, time in sorted(times.items()):
        most = max(most, (time - times[0]) / layers)
        found.append((count, most))
    return tuple(found)


def random_model(folder: Path) -> Any:
    """A model of a folder's architecture, with random weights and few words."""
    config = load_config(folder)
    config.vocab_size = min(config.vocab_size, _VOCABULARY)
    if config.pad_token_id is None or config.pad_token_id >= config.vocab_size:
        config.pad_token_id = 0
    config.num_labels = 2
    torch.manual_seed(0)
    model = model_class(config, _HEAD).from_config(config, dtype=torch.float32).eval()
    use_linear(model)
    return model


def shaped(model: Any, shape: Shape) -> Any:
    """A copy all of whose layers have so many heads and neurons."""
    first, made = blocks(model)[0], copy.deepcopy(model)
    kept = tuple(range(shape[0])) if first.names.position_argument is not None else ()
    layer = LayerShape(*shape, kept)
    layers = (layer,) * len(blocks(model))
    reshape(made, Shapes(first.head_size, first.queries, layers))
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if bool(parameter.isnan().any()):  # of another shape now
                parameter.normal_(std=0.02, generator=random)
    return made


def _run(model: Any, target: SpeedTarget, folder: Path) -> Run:
    inputs = example_inputs(model, _HEAD, target.batch, target.length)
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    path = None
    if target.engine != "torch":
        path = folder / "model.onnx"
        shape = (target.batch, target.length)
        export_graph(copy.deepcopy(model), _HEAD, path, shape=shape, opset=OPSET)
    return prepare(target.engine, model, path, inputs, target.threads)


if __name__ == "__main__":
    try:
        wanted = SpeedTarget.model_validate_json(sys.argv[2])
        print(measure_table(Path(sys.argv[1]), wanted).model_dump_json())
    except SmcBenchError as error:
        sys.exit(str(error))
