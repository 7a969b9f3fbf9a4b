"""Inference engines that a model can be timed in: what runs it once, and which version that is.

torch is always there; ONNX Runtime and OpenVINO come with the extra ``inference``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from smc_bench.engine.pruning.latency import EngineName as EngineName
from smc_bench.errors import ModelError

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
Run = Callable[[], "np.ndarray[Any, Any]"]
"""One forward pass; its first output."""


def version(engine: EngineName) -> str:
    """Version of an engine.

    Raises:
        ModelError: It is not installed.
    """
    if importlib.util.find_spec(engine) is None:
        raise ModelError(f"{engine} is not installed: pip install 'smc-bench[inference]'")
    return importlib.metadata.version(engine)


def prepare(
    engine: EngineName, model: Any, onnx: Path | None, inputs: Mapping[str, Tensor], threads: int
) -> Run:
    """Load a model into an engine.

    Args:
        engine: Which one.
        model: For torch; run with its own attention.
        onnx: The same model as a file, for the others.
        inputs: What every pass gets.
        threads: Threads that the engine may use. For torch those of the process are set.
    """
    if engine == "torch":
        return _torch(model, inputs, threads)
    assert onnx is not None
    arrays = {name: value.numpy() for name, value in inputs.items()}
    start = _onnxruntime if engine == "onnxruntime" else _openvino
    return start(onnx, arrays, threads)


def _torch(model: Any, inputs: Mapping[str, Tensor], threads: int) -> Run:
    def run() -> np.ndarray[Any, Any]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            found: Tensor = next(iter(model(**inputs).values()))
        return found.numpy()

    return run


def _onnxruntime(path: Path, inputs: dict[str, np.ndarray[Any, Any]], threads: int) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    # A thread that spins between runs would take the core of the engine whose turn it is.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    # A model without any head reads no attention mask, and its file has no such input.
    names = {value.name for value in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in names}
    return lambda: np.asarray(session.run(None, given)[0])


def _openvino(path: Path, inputs: dict[str, np.ndarray[Any, Any]], threads: int) -> Run:
    import openvino

    # float32: with bfloat16, its default where the processor has it, it computes another model.
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    names = {name for port in compiled.inputs for name in port.names}
    given = {name: value for name, value in inputs.items() if name in names}
    return lambda: np.asarray(compiled(given)[0])
