"""What zeros are worth at inference: dense and pruned encoders, embeddings too, in three engines.

    python benchmarks/inference.py --python deepsparse=VENV/bin/python
    python benchmarks/inference.py --models minilm-l6 --rounds 2 --to /tmp/quick    # a quick look

Engines: ONNX Runtime and OpenVINO (float32; bf16, the fair dense baseline; float32 with sparse
weights) from ``pip install 'smc-bench[inference]'``, and DeepSparse 1.8, which needs numpy < 2 and
so an environment of its own (docs/export.md). An engine that is not there is skipped, with the
reason. The dense model is loaded twice: how far its two copies are apart is the noise.

Each engine is a process that holds all variants of one model and shape; the processes take turns,
in an order drawn anew each round, and only one works at a time. A visit is one run that does not
count and ``--repeats`` that do; its median is the round's figure. Ratios are taken inside a round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fisher_support import processor
from inference_models import MODELS, Variant, inputs_of, variants_of, write_variants
from inference_report import as_markdown

HERE = Path(__file__).parent
ENGINES = ("ort", "openvino-f32", "openvino-bf16", "openvino-sparse", "deepsparse")
PACKAGES = {"ort": "onnxruntime", "openvino": "openvino", "deepsparse": "deepsparse"}
# Beyond this another process has the cores too, and the figures are not to be kept.
QUIET_LOAD = 0.7


@dataclass
class Engine:
    """A running worker and what it said when it had loaded everything."""

    name: str
    process: subprocess.Popen[str]
    about: dict[str, Any] = field(default_factory=dict)
    peak: float = 0.0

    def answer(self) -> dict[str, Any]:
        """The next line of the worker.

        Raises:
            RuntimeError: The worker has ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the worker ended with {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def visit(self, variant: int, repeats: int) -> float:
        """Median milliseconds of a visit.

        Raises:
            RuntimeError: The worker has ended.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is told by what it does not answer
            self.process.stdin.write(f"{variant} {repeats + 1}\n")
            self.process.stdin.flush()
        found = self.answer()
        self.peak = found["peak GiB"]
        return float(np.median(found["ms"][1:]))

    def stop(self) -> None:
        """End the worker."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def missing(engine: str, python: str) -> str | None:
    """Why an engine can't be used, or None."""
    package = PACKAGES[engine.partition("-")[0]]
    command = [python, "-c", f"import {package}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return f"{error.strerror}: the python given for it"
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (lines or ["can't be imported"])[-1]


def start(
    engine: str, python: str, threads: int, inputs: Path, files: list[Path], log: Path
) -> Engine:
    """Start a worker and wait until it has loaded every file."""
    command = [python, str(HERE / "inference_worker.py"), engine, str(threads), str(inputs)]
    command += [f"{i}={path}" for i, path in enumerate(files)]
    with log.open("w") as noise:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, text=True
        )
    found = Engine(engine, process)
    try:
        found.about = found.answer()
    except RuntimeError as error:
        last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
        raise RuntimeError(f"{error}: {last}") from None
    return found


def measure(
    asked: argparse.Namespace, model: str, batch: int, skipped: dict[str, str]
) -> dict[str, Any]:
    """One model at one batch size, all engines and variants."""
    with tempfile.TemporaryDirectory(prefix="inference-") as name:
        folder = Path(name)
        made = list(write_variants(model, variants_of(model), batch, asked.tokens, folder))
        np.savez(folder / "inputs.npz", **inputs_of(batch, asked.tokens))
        files = [path for _, path, _, _ in made]
        engines = []
        try:
            for engine in asked.engines:
                python = asked.python.get(engine.partition("-")[0], sys.executable)
                if engine not in skipped:
                    try:
                        shared = (asked.threads, folder / "inputs.npz", files)
                        log = folder / f"{engine}.log"
                        engines.append(start(engine, python, *shared, log))
                    except RuntimeError as error:
                        skipped[f"{engine}, {model}, batch {batch}"] = str(error)
            repeats = asked.repeats or (5 if batch == 1 else 1)
            rounds = take_turns(engines, len(made), asked.rounds, repeats)
        finally:
            for engine in engines:
                engine.stop()
    variants = [variant for variant, _, _, _ in made]
    return {
        "model": model,
        "batch": batch,
        "tokens": asked.tokens,
        "zeros": {v.name: measured for v, _, measured, _ in made},
        "engines": {e.name: about(e, rounds[e.name], variants, made) for e in engines},
    }


def take_turns(
    engines: list[Engine], variants: int, rounds: int, repeats: int
) -> dict[str, dict[int, list[float]]]:
    """Milliseconds of each engine and variant, one figure a round."""
    visits = [(engine, variant) for engine in engines for variant in range(variants)]
    found = {e.name: {v: [] for v in range(variants)} for e in engines}
    order = random.Random(0)
    for number in range(rounds):
        order.shuffle(visits)
        for engine, variant in visits:
            found[engine.name][variant].append(engine.visit(variant, repeats))
        print(f"  round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def about(
    engine: Engine, taken: dict[int, list[float]], variants: list[Variant], made: list[Any]
) -> dict[str, Any]:
    """What is kept of an engine: every round's figure, and how far its logits are from torch's."""
    logits = [np.asarray(engine.about["logits"][str(i)]) for i in range(len(made))]
    wanted = [torchs for _, _, _, torchs in made]
    far = [float(np.abs(a - b).max()) for a, b in zip(logits, wanted, strict=True)]
    return {
        "version": engine.about["version"],
        "peak GiB": round(engine.peak, 2),
        "largest difference from torch's logits": max(far),
        "largest logit": float(max(np.abs(one).max() for one in wanted)),
        "ms": {variant.name: taken[i] for i, variant in enumerate(variants)},
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, help="runs of a visit (5 at batch 1, else 1)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--to", type=Path, default=HERE / "results", help="folder for the results")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="ENGINE=PYTHON",
        help="python of an engine's own environment: ort, openvino or deepsparse",
    )
    asked = parser.parse_args()
    asked.python = dict(word.split("=", 1) for word in asked.python)
    return asked


def keep(results: dict[str, Any], to: Path) -> None:
    """Write what is there so far."""
    to.mkdir(parents=True, exist_ok=True)
    (to / "inference.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (to / "inference.md").write_text(as_markdown(results), "utf-8")


def main() -> None:
    """Measure, print, and write the results."""
    asked = parse()
    pythons = {e: asked.python.get(e.partition("-")[0], sys.executable) for e in asked.engines}
    skipped = {e: why for e, python in pythons.items() if (why := missing(e, python))}
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        print(f"load {load:.1f}: others are at work; not for figures to keep", file=sys.stderr)
    setting = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": asked.threads,
        "load average at the start": round(load, 2),
        "rounds": asked.rounds,
    }
    measured: list[dict[str, Any]] = []
    results = {"setting": setting, "skipped": skipped, "measured": measured}
    for model in asked.models:
        for batch in asked.batch:
            print(f"{model}, batch {batch}", file=sys.stderr, flush=True)
            try:
                measured.append(measure(asked, model, batch, skipped))
            except RuntimeError as error:  # most likely killed for memory
                skipped[f"all engines, {model}, batch {batch}"] = str(error)
            setting["load average at the end"] = round(os.getloadavg()[0], 2)  # our own included
            keep(results, asked.to)
    print(as_markdown(results))


if __name__ == "__main__":
    main()
