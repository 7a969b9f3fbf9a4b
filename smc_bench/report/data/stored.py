"""What a results folder holds, and a suite's plan, from its records alone.

A plan needs pins of data and weights. Where records are all there is (another machine, small
records, no mirror), the pins are those that the records name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.errors import StoreError, SuiteError
from smc_bench.report.data.frame import primary_metric
from smc_bench.store.merge import merge
from smc_bench.store.reading import parse_cell
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import UNRESOLVED, Cell
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.load import BUILT_IN, LoadedSuite, load_suite
from smc_bench.suite.overrides import Overrides
from smc_bench.suite.yaml_file import read_yaml
from smc_bench.tasks.specs import SPECS, TaskSpec

COLUMNS = [
    "task", "model", "scorer", "scope", "target", "sparsity_over", "seed", "teacher", "precision",
    "metric", "value", "trivial", "scope_sparsity", "encoder_sparsity", "model_sparsity",
    "constant", "head_paths", "steps", "seconds", "device", "processor", "commit", "finished",
]  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A finished cell."""

    cell: Cell
    record: Record


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The results of a folder; small records and tars are unpacked for as long as it is open.

    Raises:
        StoreError: It holds no results, or a cell of it can't be believed.
    """
    if (path / "cells").is_dir():
        yield Store(path)
        return
    with TemporaryDirectory(prefix="smc-bench-") as scratch:
        store = Store(Path(scratch) / "results")
        for outcome in merge(store, path, durable=False):
            if not outcome.whole:
                raise StoreError(f"{outcome.source}: {outcome.why}")
        yield store


def finished(store: Store) -> tuple[dict[str, Finished], list[str]]:
    """Finished, reportable cells by id, in the order of their folders.

    Returns:
        The cells, and what is wrong with those whose record can't be believed.
    """
    found: dict[str, Finished] = {}
    problems: list[str] = []
    for path in sorted(store.cells.glob("*/[!.]*/record.json")):
        try:
            record = CellFolder(path.parent).record()
            cell = None if record is None else parse_cell(record.cell, path)
        except StoreError as error:
            problems.append(str(error))
            continue
        if record is not None and cell is not None and record.reportable:
            found[cell.id] = Finished(cell, record)
    return found, problems


_WITHOUT_TABLE = {"table"}


class RecordedPins:
    """Implements :class:`smc_bench.suite.expand.Pins` with what finished cells were made from.

    Where cells of several versions of the data (or weights, or precisions) are there, the version
    of the most cells counts.
    """

    def __init__(self, found: Mapping[str, Finished], precision: str | None = None) -> None:
        """Count once what the cells name.

        Args:
            found: Finished cells.
            precision: What ``train.precision: auto`` stands for; None: that of the most cells.
        """
        self._chosen = precision
        self.asked_for_precision = False
        self._data: Counter[tuple[str, str, str, str]] = Counter()
        self._models: Counter[tuple[str, str]] = Counter()
        self._precisions: Counter[str] = Counter()
        self._targets: dict[str, LatencyTable] = {}
        for item in found.values():
            cell, task = item.cell, item.cell.task
            for split, pin in cell.data_pins.items():
                self._data[task.name, task.config, split, pin] += 1
            self._models[cell.model, cell.model_pin] += 1
            self._precisions[cell.recipe.train.precision] += 1
            if cell.recipe.target is not None:
                self._targets[cell.recipe.target.model_dump_json(exclude=_WITHOUT_TABLE)] = (
                    cell.recipe.target.measured
                )

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        """Identity of a split's rows."""
        wanted = (spec.name, config, split)
        return next((k[3] for k, _ in self._data.most_common() if k[:3] == wanted), UNRESOLVED)

    def model(self, reference: str) -> str:
        """Identity of a model."""
        path = Path(reference)
        name = f"./{path.name}" if path.is_absolute() else reference
        return next((k[1] for k, _ in self._models.most_common() if k[0] == name), UNRESOLVED)

    def latencies(self, target: SpeedTarget, model: str, suite: Path) -> LatencyTable | None:
        """The table that cells with this target went by."""
        return self._targets.get(target.model_dump_json(exclude=_WITHOUT_TABLE))

    def precision(self) -> str | None:
        """What ``train.precision: auto`` stands for."""
        self.asked_for_precision = True
        return self._chosen or next(iter(self.precisions), None)

    @property
    def precisions(self) -> list[str]:
        """All that cells were trained in, that of the most cells first."""
        return [name for name, _ in self._precisions.most_common()]


def recorded_plan(
    found: Mapping[str, Finished],
    suite: Path,
    profile: str | None = None,
    overrides: Overrides | None = None,
) -> Plan:
    """A suite's plan, pinned as finished cells are.

    Args:
        found: Finished cells.
        suite: The suite's file.
        profile: One of its profiles, or None: the one of which most cells are finished (its
            default where none is).
        overrides: Changed settings.

    Raises:
        SuiteError: The suite is wrong, or has no such profile.
    """
    if profile is not None:
        return _pinned(found, load_suite(suite, profile, overrides))
    plans = [_pinned(found, load_suite(suite, None, overrides))]
    for name in dict.fromkeys((*(read_yaml(suite).data.get("profiles") or {}), BUILT_IN)):
        if name == plans[0].loaded.profile:
            continue
        try:
            plans.append(_pinned(found, load_suite(suite, name, overrides)))
        except SuiteError:  # a profile that these changed settings do not fit
            continue
    return max(plans, key=lambda plan: len(plan.cells.keys() & found.keys()))


def _pinned(found: Mapping[str, Finished], loaded: LoadedSuite) -> Plan:
    """The plan in the precision, of those that cells have, of which most of it is finished.

    Another suite's cells, trained in another precision, may be the most that are there.
    """
    pins = RecordedPins(found)
    plan = expand(loaded, pins)
    others = pins.precisions[1:] if pins.asked_for_precision else []
    plans = [plan, *(expand(loaded, RecordedPins(found, precision)) for precision in others)]
    return max(plans, key=lambda plan: len(plan.cells.keys() & found.keys()))


def cell_frame(found: Mapping[str, Finished]) -> pd.DataFrame:
    """A row a finished cell, indexed by its id, with :data:`COLUMNS`.

    :meth:`smc_bench.api.ResultsFolder.cells` says what they hold.
    """
    rows = [_row(item) for item in found.values()]
    return pd.DataFrame(rows, index=pd.Index(list(found), name="cell"), columns=COLUMNS)


def _row(item: Finished) -> list[Any]:
    cell, record = item.cell, item.record
    dense = cell.recipe.sparsity_schedule is None
    metric = next(iter(record.metrics))
    if cell.task.name in SPECS:
        metric = primary_metric(cell)
    output = record.outputs.get(cell.task.eval_splits[0])
    measured, origin = record.sparsity, record.provenance
    paths = None if record.head_paths is None else record.head_paths[0]
    return [
        cell.task.name, cell.model, "" if dense else cell.recipe.scorer,
        "" if dense else "+".join(cell.recipe.scope), cell.sparsity, cell.recipe.sparsity_over,
        cell.seed, cell.teacher, cell.recipe.train.precision,
        metric, record.metrics.get(metric), record.trivial.get(metric),
        measured.scope.share, measured.encoder.share, measured.model.share,
        None if output is None else output.all_equal, paths,
        record.total_steps, record.train_seconds, record.device,
        origin.get("processor"), origin.get("git_commit"), record.finished,
    ]  # fmt: skip
