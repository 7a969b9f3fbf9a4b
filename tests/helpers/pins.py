"""Pins for plans of which nothing is fetched, and nothing measured unless it is given."""

from __future__ import annotations

from pathlib import Path

from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.tasks.specs import TaskSpec


class NoPins:
    """Nothing is fetched: where data and weights come from is not what is tried."""

    def __init__(self, precision: str | None = None, latencies: LatencyTable | None = None) -> None:
        self._precision, self._latencies = precision, latencies

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        return "unresolved"

    def model(self, reference: str) -> str:
        return "unresolved"

    def precision(self) -> str | None:
        return self._precision

    def latencies(self, target: SpeedTarget, model: str, suite: Path) -> LatencyTable | None:
        return self._latencies


class AnyPins(NoPins):
    """Another pin for everything that is asked."""

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        return f"{spec.name}-{config}-{split}"

    def model(self, reference: str) -> str:
        return f"pin of {Path(reference).name}"
