"""A target in speed, and the table of latencies that says how fast a model of some shape is.

A table has the time of a whole layer's attention by the heads that are left in it, and of its
feed-forward layer by its neurons (ZipLM, arXiv 2302.04089); a model's predicted time
is their sum and that of the rest. Sums are taken in whole ticks, ten thousand of which are about
the dense model's time, so that a choice of units can be exact. No torch here: recipes hold tables.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from smc_bench.engine.pruning.structures import UnitKind, unit_kinds
from smc_bench.engine.strict import Strict

EngineName = Literal["torch", "onnxruntime", "openvino"]
TICKS = 10_000
Left = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0.0)]
Times = Annotated[tuple[tuple[Left, Milliseconds], ...], Field(min_length=2)]


class LatencyTable(Strict):
    """Measured times of the parts of one architecture, on one machine, in one engine.

    Attributes:
        processor: Name of the processor, as Linux has it.
        threads: Threads of the engine.
        engine: Name of the engine.
        version: Its version.
        torch: Version of torch.
        precision: Of weights and arithmetic.
        batch: Sequences of a pass.
        length: Tokens of each.
        layers: Blocks of the model.
        rest_ms: Time of everything but heads and neurons, in milliseconds.
        heads: Heads (or key-value groups) left in a layer, and the time of a layer's attention.
        neurons: Neurons left in a layer, and the time of its feed-forward layer.
        whole_ms: Time of the dense model as measured; beside the sum of its parts it shows how well
            these add up.
        load: Load average of the machine when measuring began; above half others were at work.
    """

    processor: str
    threads: int = Field(ge=1)
    engine: EngineName
    version: str
    torch: str
    precision: Literal["fp32"] = "fp32"
    batch: int = Field(ge=1)
    length: int = Field(ge=1)
    layers: int = Field(ge=1)
    rest_ms: float = Field(gt=0.0)
    heads: Times
    neurons: Times
    whole_ms: float = Field(gt=0.0)
    load: float = Field(ge=0.0)

    @model_validator(mode="after")
    def _rising(self) -> LatencyTable:
        for name in ("heads", "neurons"):
            times: Times = getattr(self, name)
            counts = [left for left, _ in times]
            if counts != sorted(set(counts)) or times[0] != (0, 0.0):
                raise ValueError(f"{name}: counts must rise from 0, which takes no time")
            if [ms for _, ms in times] != sorted(ms for _, ms in times):
                raise ValueError(f"{name}: more of them can't be faster")
        return self

    @property
    def sha256(self) -> str:
        """Of its content."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def dense_ms(self) -> float:
        """The sum of the dense model's parts."""
        return self.rest_ms + self.layers * (self.heads[-1][1] + self.neurons[-1][1])

    def count(self, kind: UnitKind) -> int:
        """Units of a kind in a dense layer."""
        return self._of(kind)[-1][0]

    def ticks(self, kind: UnitKind) -> list[int]:
        """Time of a layer by its units of a kind that are left, from none to all of them.

        Between measured counts it is interpolated.
        """
        times = self._of(kind)
        counts = [left for left, _ in times]
        found = []
        for left in range(counts[-1] + 1):
            above = bisect_left(counts, left)
            (upper, slow), (lower, fast) = times[above], times[max(0, above - 1)]
            share = (left - lower) / (upper - lower) if upper > lower else 0.0
            found.append(self._in_ticks(fast + share * (slow - fast)))
        return found

    @property
    def rest(self) -> int:
        """Ticks of everything but heads and neurons."""
        return self._in_ticks(self.rest_ms)

    @property
    def dense(self) -> int:
        """Ticks of the dense model."""
        kinds: tuple[UnitKind, ...] = ("head", "neuron")
        return self.rest + self.layers * sum(self.ticks(kind)[-1] for kind in kinds)

    def predicted(self, left: Mapping[UnitKind, Sequence[int]]) -> int:
        """Ticks of a model by the units that are left in each layer; unnamed kinds are dense."""
        total = self.rest
        kinds: tuple[UnitKind, ...] = ("head", "neuron")
        for kind in kinds:
            ticks = self.ticks(kind)
            total += sum(ticks[n] for n in left.get(kind, [len(ticks) - 1] * self.layers))
        return total

    def fastest(self, structure: str) -> float:
        """The largest speed-up that a structure's units can reach."""
        none = {kind: [0] * self.layers for kind in unit_kinds(structure)}
        return self.dense / self.predicted(none)

    def _of(self, kind: UnitKind) -> Times:
        return self.heads if kind == "head" else self.neurons

    def _in_ticks(self, ms: float) -> int:
        return round(ms * TICKS / self.dense_ms)


class SpeedTarget(Strict):
    """How many times as fast as the dense model the pruned one is to be, once it is shrunk.

    Attributes:
        speedup: The dense model's time over the pruned model's, as the table of latencies has it.
        engine: Engine that it is to be as fast in: ``torch``, ``onnxruntime`` or ``openvino``.
        batch: Sequences of a pass.
        length: Tokens of each.
        threads: Threads of the engine.
        table: Left out, the table is measured on this machine and kept with the results; a file's
            name (from the suite's folder) takes the table that it holds, of whatever machine.
    """

    speedup: float = Field(gt=1.0, le=1000.0)
    engine: EngineName = "torch"
    batch: int = Field(1, ge=1, le=4096)
    length: int = Field(128, ge=4)
    threads: int = Field(1, ge=1)
    table: LatencyTable | str | None = None

    @property
    def sparsity(self) -> float:
        """The share of the dense model's time that is to go: what the schedule ends at."""
        return 1.0 - 1.0 / self.speedup

    @property
    def known(self) -> bool:
        """Whether the table is there."""
        return isinstance(self.table, LatencyTable)

    @property
    def measured(self) -> LatencyTable:
        """The table.

        Raises:
            ValueError: It is not there yet: planning puts it here.
        """
        if not isinstance(self.table, LatencyTable):
            raise ValueError("target.table: no table of latencies was measured yet")
        return self.table

    def budget(self, sparsity: float) -> int:
        """Ticks that a model may take where so large a share of the dense time is to be gone."""
        return int((1.0 - sparsity) * self.measured.dense + 1e-6)


def speed_conflict(
    structure: str, threshold: str, sparsity_over: str, *, has_target: bool, fewer_layers: bool
) -> str | None:
    """Why a recipe can't have a target in speed, in words; None where it can."""
    if not has_target:
        return None
    if unit_kinds(structure) in ((), ("layer",)):
        return "target: {speedup: ...} needs structure: heads, neurons or heads+neurons"
    if threshold != "global" or sparsity_over == "structure":
        return (
            "target: {speedup: ...} chooses among all units by time: it goes with threshold: "
            "global and without sparsity_over: structure"
        )
    if fewer_layers:
        return "target: {speedup: ...} is of the whole model: it goes without train.keep_layers"
    return None


def unreachable(target: SpeedTarget, structure: str) -> str | None:
    """Why a structure can't reach a target, in words; None where it can."""
    table = target.measured
    asked = {
        "engine": target.engine, "batch": target.batch, "length": target.length,
        "threads": target.threads,
    }  # fmt: skip
    for key, value in asked.items():
        if getattr(table, key) != value:
            return f"target: its table is of {key} {getattr(table, key)}, not {value}"
    most = table.fastest(structure)
    if target.speedup <= most:
        return None
    return (
        f"structure: {structure} can become at most {most:.2f} times as fast in {table.engine} at "
        f"{table.batch} x {table.length} (by the table of latencies of {table.processor}), not "
        f"{target.speedup:g}: lower target.speedup, or remove other units too"
    )
