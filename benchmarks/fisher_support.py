"""What the benchmarks share: real gradients, the processor's name, timing, tables."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

Gradient: TypeAlias = dict[str, Tensor]
BATCH, LENGTH = 16, 64


def collect(count: int) -> tuple[list[Gradient], dict[str, Tensor], dict[str, Any]]:
    """Gradients, encoder weights, and where they are from."""
    from smc_bench.models.components import component_map
    from smc_bench.models.load import load_model, load_tokenizer
    from smc_bench.sources import rows, weights
    from smc_bench.sources.lock import Lock
    from smc_bench.sources.roots import Roots
    from smc_bench.tasks.specs import SPECS

    roots = Roots.from_environment()
    lock = Lock.load(roots.cache / "benchmarks-lock.json")
    reference = weights.ModelRef.parse("minilm-l6")
    folder = weights.folder(reference, weights.fetch(reference, roots, lock), roots)
    task = SPECS["sst2" if roots.data else "review_sentiment"]
    config = task.config
    pin = rows.fetch(task, config, "train", roots, lock)
    data = rows.load(task, config, "train", pin, roots)[: count * BATCH]
    model, tokenizer = (
        load_model(folder, "sequence_classification", 2, seed=42).eval(),
        load_tokenizer(folder),
    )
    names = component_map(model).in_scope(["encoder"])
    wanted = [dict(model.named_parameters())[name] for name in names]
    found, start = [], time.perf_counter()
    for at in range(0, count * BATCH, BATCH):
        batch = data[at : at + BATCH]
        text = [row["sentence"] for row in batch]
        inputs = tokenizer(
            text, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
        )
        labels = torch.tensor([row["label"] for row in batch])
        gradients = torch.autograd.grad(model(**inputs, labels=labels).loss, wanted)
        found.append(dict(zip(names, gradients, strict=True)))
    seconds = (time.perf_counter() - start) / count
    values = {name: w.detach().clone() for name, w in zip(names, wanted, strict=True)}
    rms = torch.stack([g.square().mean() for one in found for g in one.values()]).mean().sqrt()
    about = {
        "data": task.name,
        "seconds per gradient to collect": seconds,
        "rms of a gradient's entries": float(rms),
    }
    return found, values, about


def timed(work: Callable[[], Any], rounds: int = 3) -> float:
    """Median CPU seconds of some rounds after one that is not counted."""
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = ", AVX-512" if "avx512f" in flags else ""
    return f"{names[0] if names else platform.machine()}{wide}"


def as_markdown(results: dict[str, Any]) -> str:
    """The same results as tables."""
    lines = ["# Inverse of the block Fisher matrix", "", "Written by `benchmarks/fisher.py`.", ""]
    lines += [f"- {key}: {_short(value)}" for key, value in results["setting"].items()]
    for title, value in results.items():
        if title == "setting" or value is None:
            continue
        lines += ["", f"## {title}", ""]
        rows = value
        if isinstance(value, dict) and "contestants" in value:
            lines += [f"- lambda = {value['dampening']:g}"]
            lines += [f"- time: {k} = {_short(v)}" for k, v in value["time ratio"].items()]
            lines += [""]
            found = value["contestants"]
            keys = dict.fromkeys(key for row in found.values() for key in row)
            rows = [{"": key} | {n: row.get(key, "") for n, row in found.items()} for key in keys]
        rows = [rows] if isinstance(rows, dict) else rows
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        lines += [f"| {' | '.join(_short(row.get(c, '')) for c in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
