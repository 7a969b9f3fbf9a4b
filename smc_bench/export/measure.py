"""Measure a finished cell's model: parameters, MACs, packed size, and latency in engines.

What is timed is the model in its smallest form (removed units left out), beside the same
architecture with nothing removed, whose zeros are filled: both take turns in every round, in an
order drawn anew, so that a busy moment of the machine meets both. Ratios are taken inside a round.
"""

from __future__ import annotations

import copy
import gzip
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from safetensors.torch import save
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from smc_bench.errors import ModelError
from smc_bench.export.engines import EngineName, Run, prepare, version
from smc_bench.export.onnx import example_inputs, write_onnx
from smc_bench.export.shrink import Shrunk, shrink
from smc_bench.models.components import component_map
from smc_bench.models.cost import flops_by_part
from smc_bench.models.depth import with_all_layers
from smc_bench.models.load import load_model
from smc_bench.store.measured import Machine, Measured, Size, Speed, read_measured, write_measured
from smc_bench.store.provenance import processor
from smc_bench.store.reading import check_weights
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder, now
from smc_bench.suite.cell import Cell
from smc_bench.tasks.base import Head
from smc_bench.tasks.registry import get_task

Tell = Callable[[str], None]
OPSET = 14  # at fixed shapes the newer exporter folds look-ups; engines are as fast on this one
TOLERANCE = 1e-3
"""Of logits that are at least 1: an engine that is further from torch computes another model."""


@dataclass(frozen=True)
class Asked:
    """What to measure.

    Attributes:
        engines: In which engines.
        batches: Sequences of a batch.
        length: Tokens of a sequence.
        threads: Threads of an engine.
        rounds: Rounds; each gives one figure of each model.
        repeats: Passes of a turn, whose median is the round's figure.
        shrunk: Leave removed units out; else run them as zeros.
        load: Load average when this was asked for: later the measuring itself is in it.
    """

    engines: tuple[EngineName, ...]
    batches: tuple[int, ...] = (1, 32)
    length: int = 128
    threads: int = 1
    rounds: int = 7
    repeats: int = 3
    shrunk: bool = True
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 2))


def measure_cell(folder: CellFolder, record: Record, cell: Cell, asked: Asked, tell: Tell) -> Path:
    """Measure, and write what was found beside the record.

    Earlier times of the same weights, taken elsewhere or at other shapes, are kept.

    Returns:
        The file.

    Raises:
        CorruptDataError: The weights, or a file of earlier measurements, are damaged.
        ModelError: An engine is not installed, or computes something else.
        StoreError: Earlier measurements can't be read.
    """
    versions = {engine: version(engine) for engine in asked.engines}
    older = read_measured(folder.path, record.cell_id, record.weights_sha256)
    task = get_task(cell.task.name)
    check_weights(folder.path / "weights", record)
    weights = folder.path / "weights"
    model = load_model(weights, task.head, task.spec.labels, seed=cell.seed, finished=True).eval()
    dense = filled(model)
    small, what = shrink(model) if asked.shrunk else (model, None)
    small.eval()
    found = Measured(
        cell_id=record.cell_id,
        weights_sha256=record.weights_sha256,
        size=size_of(small, task.head, asked.length),
        dense=size_of(dense, task.head, asked.length),
        units=_units(what, model),
        speeds=tuple(speeds(dense, small, task.head, asked, versions, tell)),
    )
    for speed in found.speeds:
        _beside_prediction(record, cell, speed, tell)
    check_weights(folder.path / "weights", record)  # nobody trained it again meanwhile
    return write_measured(folder.path, found.joined(older))


def _beside_prediction(record: Record, cell: Cell, speed: Speed, tell: Tell) -> None:
    """Say what was predicted, where it was of this engine and shape."""
    target, predicted = cell.recipe.target, record.predicted
    if target is None or predicted is None:
        return
    same = (target.engine, target.batch, target.length, target.threads)
    if same == (speed.engine, speed.batch, speed.length, speed.machine.threads):
        ratios = [a / b for a, b in zip(speed.dense_ms, speed.ms, strict=True)]
        tell(
            f"x{statistics.median(ratios):.2f} measured, x{predicted.speedup:.2f} predicted, "
            f"x{target.speedup:g} asked for (table of {target.measured.processor})"
        )


def filled(model: Any) -> Any:
    """What it was before pruning: small random numbers for zeros, and all of its layers."""
    dense = copy.deepcopy(with_all_layers(model))
    generator = torch.Generator().manual_seed(0)
    parameters = dict(dense.named_parameters())
    with torch.no_grad():
        for name in component_map(dense).prunable:
            weight = parameters[name]
            noise = torch.randn(weight.shape, generator=generator) * 0.02
            weight.copy_(torch.where(weight == 0, noise, weight))
    return dense


def size_of(model: Any, head: Head, length: int) -> Size:
    """Parameters, encoder MACs (a FLOP counter's matrix products, by two) and packed size."""
    inputs = example_inputs(model, head, 1, length, choices=1)
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    counter = FlopCounterMode(display=False)
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")  # fused attention is no matrix product to the counter
    with torch.no_grad(), counter:
        model(**inputs)
    model.set_attn_implementation(own)
    totals = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    # Named by the class of what was called and the path inside of it.
    flops = flops_by_part(model, {name.partition(".")[2]: n for name, n in totals.items()})
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return Size(
        parameters=sum(p.numel() for p in model.parameters()),
        encoder_parameters=component_map(model).parameters["encoder"],
        encoder_macs=flops["encoder"] // 2,
        length=length,
        gzip_bytes=len(gzip.compress(save(tensors), 6, mtime=0)),
    )


def speeds(
    dense: Any, small: Any, head: Head, asked: Asked, versions: dict[EngineName, str], tell: Tell
) -> list[Speed]:
    """Times of both models, in every engine and at every batch size.

    Raises:
        ModelError: An engine computes something else than torch.
    """
    machine = Machine(
        processor=processor() or "unknown", cores=psutil.cpu_count() or 1, threads=asked.threads
    )
    found = []
    for batch in asked.batches:
        inputs = example_inputs(small, head, batch, asked.length, choices=1)
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
        with tempfile.TemporaryDirectory(prefix="measure-") as name:
            runs = _runs(dense, small, head, inputs, asked, Path(name))
        taken = take_turns(runs, asked.rounds, asked.repeats)
        for engine in asked.engines:
            (dense_ms, dense_cpu), (ms, cpu) = taken[engine, "dense"], taken[engine, "small"]
            found.append(
                Speed(
                    machine=machine,
                    engine=engine,
                    version=versions[engine],
                    batch=batch,
                    length=asked.length,
                    shrunk=asked.shrunk,
                    dense_ms=tuple(dense_ms),
                    ms=tuple(ms),
                    dense_cpu_ms=tuple(dense_cpu),
                    cpu_ms=tuple(cpu),
                    load=asked.load,
                    time=now(),
                )
            )
            tell(
                f"{engine} {versions[engine]}, {batch} x {asked.length}: "
                f"{statistics.median(ms):.1f} ms, dense {statistics.median(dense_ms):.1f} ms"
            )
    return found


def _runs(
    dense: Any, small: Any, head: Head, inputs: dict[str, Tensor], asked: Asked, folder: Path
) -> dict[tuple[EngineName, str], Run]:
    shape = (inputs["input_ids"].shape[0], asked.length)
    found: dict[tuple[EngineName, str], Run] = {}
    for called, model in {"dense": dense, "small": small}.items():
        path = None
        if set(asked.engines) - {"torch"}:
            path = folder / f"{called}.onnx"
            # The exporter wants eager attention; torch itself is timed with its own.
            write_onnx(copy.deepcopy(model), head, path, shape=shape, opset=OPSET)
        with torch.inference_mode():
            wanted = next(iter(model(**inputs).values())).numpy()
        for engine in asked.engines:
            run = prepare(engine, model, path, inputs, asked.threads)
            far = float(np.abs(run() - wanted).max())
            if not far <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
                raise ModelError(f"{engine} computes logits that differ from torch's by {far:.2g}")
            found[engine, called] = run
    return found


def take_turns(
    runs: dict[Any, Run], rounds: int, repeats: int
) -> dict[Any, tuple[list[float], list[float]]]:
    """Milliseconds of wall-clock and of CPU time (all threads), one figure of each a round.

    A turn is one pass that does not count and ``repeats`` that do.
    """
    taken: dict[Any, tuple[list[float], list[float]]] = {key: ([], []) for key in runs}
    order, keys = random.Random(0), list(runs)
    for _ in range(rounds):
        order.shuffle(keys)
        for key in keys:
            wall, cpu = _turn(runs[key], repeats)
            taken[key][0].append(wall)
            taken[key][1].append(cpu)
    return taken


def _turn(run: Run, repeats: int) -> tuple[float, float]:
    run()
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        run()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - used))
    return statistics.median(wall), statistics.median(cpu)


def _units(what: Shrunk | None, model: Any) -> dict[Any, tuple[int, int]]:
    what = what or shrink(model)[1]
    return {"heads": what.heads, "neurons": what.neurons}
