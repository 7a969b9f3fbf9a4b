"""What the first pruning event costs, and whether training mends it, by kind of unit.

Of `structured_against_unstructured`; part of `make reports`. Losses are those of the stored curves
of training, which have a point for about each second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tabulate import tabulate

from smc_bench.report.data.results import Results
from smc_bench.report.statistics.examples import split_of
from smc_bench.store.packed import read_lines
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.expand import DENSE_ARM

SUITE = "structured_against_unstructured"
_COLUMNS = [
    "task", "arm", "sparsity", "seed", "first event", "loss before", "after", "at the cycle's end",
    "at the end", "score", "attention left", "output", "cell",
]  # fmt: skip
_EDGE = 0.2
"""The share of a cycle that counts as its beginning or its end."""


def markdown(results: Results, store: Store) -> str:
    """A row a pruned cell."""
    rows = []
    for entry in results.plan.entries:
        record = results.records.get(entry.cell.id)
        if entry.arm == DENSE_ARM or record is None or not record.events:
            continue
        label = results.labels[entry.cell.task]
        metric = results.scores.metric[label]
        checked = record.outputs.get(split_of(entry.cell, metric) or "")
        steps = [int(event["step"]) for event in record.events]
        curve = _curve(store.folder(entry.cell.folder).path / "train.jsonl")
        rows.append([
            label, entry.arm, f"{entry.target:g}", entry.cell.seed,
            f"{record.events[0]['target']:.0%} at step {steps[0]}",
            *_losses(curve, steps[0], [*steps[1:], record.total_steps][0], record.total_steps),
            f"{record.metrics[metric]:.2f}",
            _attention(record),
            "" if checked is None else "constant" if checked.all_equal
            else "one class" if checked.one_class else "",
            entry.cell.id,
        ])  # fmt: skip
    return "\n".join([
        "# What the first step costs",
        "",
        "Training loss (of the distillation) before the first pruning event, right after it, at",
        "the end of the cycle that it begins, and at the end of training. Attention left: of the",
        "weights of all attention outputs; where none is, no token sees another, and the first",
        "one, which the head reads, is the same for every input.",
        "",
        tabulate(rows, _COLUMNS, tablefmt="github", disable_numparse=True),
        "",
        f"- Means over the points that are stored of {_EDGE:.0%} of the cycle, on that side of the",
        "  step; - where there is none.",
        "",
    ])  # fmt: skip


def _attention(record: Record) -> str:
    """Share of the weights of all attention outputs that are left."""
    left = [
        counts
        for name, counts in record.weights_left.items()
        if name.endswith("attention.output.dense.weight")
    ]
    total = sum(whole for _, whole in left)
    return f"{sum(there for there, _ in left) / total:.1%}" if total else "-"


def _curve(path: Path) -> dict[int, float]:
    """Loss by step."""
    lines: list[dict[str, Any]] = read_lines(path)
    return {
        int(line["step"]): float(line["loss"])
        for line in lines
        if line.get("phase", "train") == "train" and line.get("loss") is not None
    }


def _losses(curve: dict[int, float], first: int, following: int, total: int) -> list[str]:
    edge = _EDGE * (following - first)
    stretches = [
        (first - edge, first), (first, first + edge), (following - edge, following),
        (total - edge, total),
    ]  # fmt: skip
    return [_mean(curve, start, end) for start, end in stretches]


def _mean(curve: dict[int, float], start: float, end: float) -> str:
    found = [loss for step, loss in curve.items() if start < step <= end]
    return f"{sum(found) / len(found):.2f}" if found else "-"
