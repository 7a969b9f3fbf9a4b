"""Memory of a plan's cells in words: what is predicted, and what finished ones took."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from smc_bench.cli.common import Session
from smc_bench.engine.execution import Execution
from smc_bench.errors import SmcBenchError
from smc_bench.sources import weights
from smc_bench.store.record import PeakMemory, Record
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.memory import GIB, Memory, ModelSize, predicted, size_of


class MemoryBook:
    """Predictions and measurements of the cells of one plan."""

    def __init__(self, session: Session, plan: Plan, records: Mapping[str, Record]) -> None:
        """Look at the model's files, if they are on this machine; nothing is fetched.

        Args:
            session: Where models lie.
            plan: The suite's cells.
            records: Those of finished cells, by id.
        """
        self.plan, self._records = plan, records
        self.execution: Execution = plan.loaded.suite.execution
        self.size = _size(plan.loaded.suite.model, session)

    def predicted(self, cell: Cell) -> Memory | None:
        """What a cell should take at the most, or None where its model is not known."""
        return None if self.size is None else predicted(cell, self.size, self.execution)

    def used(self, cell: Cell) -> PeakMemory | None:
        """What a finished cell took, if it says so."""
        record = self._records.get(cell.id)
        return None if record is None else record.memory

    def most(self) -> str:
        """The cell that takes the most, in one line."""
        if self.size is None:
            return "memory unknown: the model is not on this machine yet (smc-bench fetch)"
        found = [predicted(cell, self.size, self.execution) for cell in self.plan.cells.values()]
        largest = max(found, key=lambda memory: memory.peak)
        return (
            f"memory: at most about {largest.peak / GIB:.1f} GiB a cell ({largest.words()} GiB), "
            "sequences at full length; Python and libraries come on top"
        )

    def compared(self) -> str | None:
        """What finished cells took, beside what was predicted of them; None where none says so."""
        pairs = [
            (used, self.predicted(cell))
            for cell in self.plan.cells.values()
            if (used := self.used(cell)) is not None
        ]
        if not pairs:
            return None
        used, memory = max(pairs, key=lambda pair: pair[0].own)
        many = f"{len(pairs)} finished cell{'s' * (len(pairs) > 1)}"
        return f"memory of {many}: at most {describe(used, memory)}"


def describe(used: PeakMemory, memory: Memory | None) -> str:
    """What a cell took, beside what was predicted of it."""
    kind = "on the GPU" if used.of == "cuda" else "resident"
    own = f"{used.own / GIB:.2f} GiB {kind}, beside {used.before / GIB:.2f} before it began"
    doubt = " (or an earlier cell of its worker did)" if used.at_most else ""
    expected = "" if memory is None else f"; predicted {memory.peak / GIB:.2f}"
    return own + doubt + expected


def _size(model: str, session: Session) -> ModelSize | None:
    folder: Path | None
    try:
        folder = weights.present(weights.ModelRef.parse(model), session.roots, session.lock())
    except SmcBenchError:
        folder = None
    return None if folder is None else size_of(folder)
