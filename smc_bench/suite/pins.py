"""What a plan must know beside its files: pins of data and models, and what is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.tasks.specs import TaskSpec


class Pins(Protocol):
    """Where revisions and content hashes come from; ``unresolved`` before anything was fetched."""

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        """Identity of one split's rows."""

    def model(self, reference: str) -> str:
        """Identity of a model's weights, configuration and tokenizer."""

    def precision(self) -> str | None:
        """What ``train.precision: auto`` stands for here, or None before it was measured."""

    def latencies(self, target: SpeedTarget, model: str, suite: Path) -> LatencyTable | None:
        """The table of latencies of a target in speed, or None before it was measured.

        Args:
            target: Engine and shape; the file that it names.
            model: The suite's.
            suite: The suite's file.
        """
