"""One engine in a process of its own: loads ONNX files, runs one of them whenever it is asked.

Started by ``inference.py``; needs numpy and the engine alone, so that it also runs in DeepSparse's
own environment. It waits asleep between runs, so that only one engine has the cores at a time.

    python inference_worker.py ENGINE THREADS INPUTS.npz NAME=FILE...

Answers on standard output, a JSON object a line: first versions, seconds to load, and the logits of
each file; then, for each line on standard input that holds a name and a count, milliseconds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], "np.ndarray[Any, Any]"]
Inputs = dict[str, "np.ndarray[Any, Any]"]
PACKAGES = {"ort": "onnxruntime", "openvino": "openvino", "deepsparse": "deepsparse"}


def onnx_runtime(path: str, inputs: Inputs, threads: int, option: str) -> Run:
    """All graph optimisations (the default)."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda: np.asarray(session.run(None, inputs)[0])


def openvino(path: str, inputs: Inputs, threads: int, option: str) -> Run:
    """``option``: f32, bf16, or sparse (f32 with weights decompressed where half are zero)."""
    import openvino as ov

    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if option == "bf16" else "f32",
    }
    if option == "sparse":
        settings["CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE"] = 0.5
    compiled = ov.Core().compile_model(path, "CPU", settings)
    return lambda: np.asarray(compiled(inputs)[0])


def deepsparse(path: str, inputs: Inputs, threads: int, option: str) -> Run:
    """The community engine; its inputs are a list in the file's order."""
    import deepsparse as ds

    arrays = [inputs[name] for name in ds.utils.get_input_names(path)]
    engine = ds.Engine(model=path, batch_size=len(arrays[0]), num_cores=threads)
    return lambda: np.asarray(engine.run(arrays)[0])


ENGINES: dict[str, Callable[[str, Inputs, int, str], Run]] = {
    "ort": onnx_runtime,
    "openvino": openvino,
    "deepsparse": deepsparse,
}


def tell(content: dict[str, Any], to: Any) -> None:
    """One line to the driver."""
    to.write(json.dumps(content) + "\n")
    to.flush()


def main() -> None:
    """Load everything, then serve."""
    os.environ["NM_DISABLE_ANALYTICS"] = "1"
    # Engines print to standard output; the driver listens there, so they get standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine, _, option = sys.argv[1].partition("-")
    threads = int(sys.argv[2])
    with np.load(sys.argv[3]) as stored:
        inputs = {name: stored[name] for name in stored.files}
    runs: dict[str, Run] = {}
    logits: dict[str, Any] = {}
    start = time.perf_counter()
    for word in sys.argv[4:]:
        name, _, path = word.partition("=")
        runs[name] = ENGINES[engine](path, inputs, threads, option)
        logits[name] = runs[name]().tolist()
    about = {"version": importlib.metadata.version(PACKAGES[engine])}
    tell({**about, "load seconds": time.perf_counter() - start, "logits": logits}, answers)
    for line in sys.stdin:
        name, count = line.split()
        spent = []
        for _ in range(int(count)):
            start = time.perf_counter()
            runs[name]()
            spent.append(1e3 * (time.perf_counter() - start))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        tell({"ms": spent, "peak GiB": peak}, answers)


if __name__ == "__main__":
    main()
