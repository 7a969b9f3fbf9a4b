"""Pins for planning: from the mirror, the lock and the cache, without network unless asked."""

from __future__ import annotations

from pathlib import Path

from smc_bench.dispatch.inputs import latencies, precision
from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.errors import MissingDataError
from smc_bench.sources import Lock, Roots, rows, weights
from smc_bench.suite.cell import UNRESOLVED
from smc_bench.tasks.specs import TaskSpec


class SourcePins:
    """Implements :class:`smc_bench.suite.expand.Pins`.

    With ``network`` False nothing is asked and missing sources are ``unresolved``; with True what
    is missing is an error that says where it was looked for. With ``measure`` an automatic
    precision or a table of latencies that is not known yet is measured, and stored beside the lock.
    """

    def __init__(self, roots: Roots, lock: Lock, *, network: bool, measure: bool = False) -> None:
        """Nothing is looked up before it is asked for."""
        self.roots, self.lock, self.network, self.measure = roots, lock, network, measure

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        """Identity of a split's rows."""
        try:
            pin = rows.resolve(spec, config, split, self.roots, self.lock, network=self.network)
        except MissingDataError:
            if self.network:
                raise
            return UNRESOLVED
        return pin.identity if pin else UNRESOLVED

    def precision(self) -> str | None:
        """What ``train.precision: auto`` stands for in this results folder."""
        root = self.lock.path.parent
        return precision.choose(root) if self.measure else precision.stored(root)

    def latencies(self, target: SpeedTarget, model: str, suite: Path) -> LatencyTable | None:
        """The table that a target names, or this machine's in this results folder."""
        if isinstance(target.table, str):
            return latencies.named(suite.absolute().parent / target.table)
        pin = self.model(model)
        if pin == UNRESOLVED:
            return None
        root = self.lock.path.parent
        if not self.measure and not latencies.installed(target.engine):
            return None
        key = latencies.key_of(target, pin)
        if not self.measure:
            return latencies.stored(root, key)
        ref = weights.ModelRef.parse(model)
        folder = weights.folder(ref, weights.fetch(ref, self.roots, self.lock), self.roots)
        return latencies.choose(root, key, target, folder)

    def model(self, reference: str) -> str:
        """Identity of a model."""
        try:
            ref = weights.ModelRef.parse(reference)
            pin = weights.resolve(ref, self.roots, self.lock, network=self.network)
        except MissingDataError:
            if self.network:
                raise
            return UNRESOLVED
        return pin.identity if pin else UNRESOLVED
