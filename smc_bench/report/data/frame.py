"""Records of a suite as one tidy DataFrame, a row a cell."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pandas as pd

from smc_bench.errors import StoreError
from smc_bench.report.statistics.examples import metric_name
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.labels import labels
from smc_bench.tasks.specs import SPECS

COLUMNS = (
    "task", "arm", "compare_at", "sparsity", "seed", "cell", "state", "metric", "value", "trivial",
    "encoder_sparsity", "model_sparsity", "scope_sparsity", "embeddings_sparsity", "head_sparsity",
    "size_millions", "reached", "steps", "seconds", "device", "commit", "dirty", "packages", "data",
)  # fmt: skip


def frame(
    plan: Plan, store: Store, metric: str | None = None, found: dict[str, Record] | None = None
) -> pd.DataFrame:
    """All cells of a plan; ``value`` is missing where there is no reportable record.

    Columns: :data:`COLUMNS`. Metrics in percent, sparsities 0..1 (``sparsity`` is the target,
    ``reached`` what was measured of it), parameters that are not zero in millions
    (``size_millions``, as papers give sizes), time in seconds of training. ``packages`` are
    versions, ``data`` the pins of rows and weights. ``found`` holds :func:`records`, where they
    were read before.
    """
    called, found = labels(plan), records(plan, store) if found is None else found
    rows = []
    for entry in plan.entries:
        cell = entry.cell
        record = found.get(cell.id)
        row: dict[str, object] = {
            "task": called[cell.task],
            "arm": entry.arm,
            "compare_at": entry.compare_at,
            "sparsity": entry.target,
            "seed": cell.seed,
            "cell": cell.id,
            # A record was read and checked: no need to do both again.
            "state": store.folder(cell.folder).state() if record is None else "done",
            "metric": metric or primary_metric(cell),
        }
        rows.append(row | ({} if record is None else _measured(cell, record, str(row["metric"]))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def records(plan: Plan, store: Store) -> dict[str, Record]:
    """Reportable records of a plan's cells, by cell."""
    found = {}
    for key, cell in plan.cells.items():
        with suppress(StoreError):  # damaged: its state says so, and Results names the file
            record = store.folder(cell.folder).record()
            if record is not None and record.reportable:
                found[key] = record
    return found


def primary_metric(cell: Cell) -> str:
    """The task's first metric on the first split that the cell is evaluated on."""
    return metric_name(cell, cell.task.eval_splits[0], SPECS[cell.task.name].metrics[0])


def _measured(cell: Cell, record: Record, metric: str) -> dict[str, object]:
    measured = record.sparsity
    reached = {
        "scope": measured.scope.share,
        "encoder": measured.encoder.share,
        "encoder_zeros": measured.scope.zeros / max(measured.encoder.total, 1),
        "structure": measured.structure.share if measured.structure else None,
    }
    return {
        "value": record.metrics.get(metric),
        "trivial": record.trivial.get(metric),
        "reached": reached[cell.recipe.sparsity_over],
        "encoder_sparsity": measured.encoder.share,
        "model_sparsity": measured.model.share,
        "scope_sparsity": measured.scope.share,
        "embeddings_sparsity": measured.components["embeddings"].share,
        "head_sparsity": measured.components["head"].share,
        "size_millions": (measured.model.total - measured.model.zeros) / 1e6,
        "steps": record.total_steps,
        "seconds": record.train_seconds,
        "device": re.sub(r":\d+$", "", record.device),
        **_origin(record.provenance),
    }


def _origin(provenance: dict[str, Any]) -> dict[str, object]:
    """What must not differ between the cells of one table."""
    versions = {name: v for name, v in (provenance.get("packages") or {}).items() if v}
    pins = provenance.get("pins") or {}
    return {
        "commit": provenance.get("git_commit"),
        "dirty": provenance.get("git_dirty"),
        "packages": ", ".join(f"{name} {v}" for name, v in sorted(versions.items())),
        "data": ", ".join(f"{name} {pin}" for name, pin in sorted(pins.items())),
    }
