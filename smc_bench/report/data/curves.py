"""Published numbers as curves over sparsity, to draw behind measured ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from smc_bench.report.published.reported import Number, Reported
from smc_bench.report.tables.methods import Method
from smc_bench.suite.expand import DENSE_ARM, Plan
from smc_bench.suite.labels import labels
from smc_bench.tasks.specs import SPECS


@dataclass(frozen=True)
class Curve:
    """One published method on one task; sparsity 0..1 as its paper counts it, value in percent."""

    task: str
    label: str
    sparsity: tuple[float, ...]
    value: tuple[float, ...]

    def within(self, least: float, most: float) -> Curve:
        """The part at these sparsities (which are published with three digits)."""
        points = zip(self.sparsity, self.value, strict=True)
        kept = [(x, y) for x, y in points if least - 1e-3 <= x <= most + 1e-3]
        return Curve(self.task, self.label, tuple(x for x, _ in kept), tuple(y for _, y in kept))


def published_curves(plan: Plan, reported: Reported, methods: Sequence[Method]) -> list[Curve]:
    """Curves of this suite's model and tasks of these methods, each with two points or more."""
    found: dict[tuple[str, str], dict[float, float]] = {}
    for task, called in labels(plan).items():
        metric = SPECS[task.name].primary_metric
        for number in reported.numbers:
            mine = number.answers(task.name, task.config, metric)
            listed = any(method.reports(number) for method in methods)
            if mine and listed and _drawn(number, plan.loaded.suite.model_name):
                points = found.setdefault((called, _label(number)), {})
                points[number.share] = number.value
    return [
        Curve(called, label, tuple(sorted(points)), tuple(points[x] for x in sorted(points)))
        for (called, label), points in found.items()
        if len(points) > 1
    ]


def _drawn(number: Number, model: str) -> bool:
    return (
        number.ours == model
        and number.sparsity is not None
        and number.statistic == "score"
        and not number.method.startswith(DENSE_ARM)
    )


def _label(number: Number) -> str:
    name, _, identifier = number.paper.rpartition(" ")
    if not re.fullmatch(r"\d{4}\.\d{4,5}", identifier):
        name, identifier = number.paper, ""
    # "oBERT, oBERT" says less than the paper's number, and could be the name of an arm.
    same = identifier and name.lower() in number.method.lower()
    paper = f" [{identifier}]" if same else f", {name}"
    epochs = f", {number.epochs} epochs" if number.epochs and number.epochs.isdigit() else ""
    mark = "" if number.mark == "verbatim" else f", {number.mark}"
    return f"{number.method}{paper}{epochs}{mark}"
