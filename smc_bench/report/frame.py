"""Records of a suite as one tidy DataFrame, a row a cell."""

from __future__ import annotations

from typing import Any

import pandas as pd

from smc_bench.store.store import Store
from smc_bench.suite.cell import TaskSettings
from smc_bench.suite.expand import Entry, Plan
from smc_bench.tasks.specs import SPECS

COLUMNS = (
    "task", "arm", "compare_at", "sparsity", "seed", "cell", "state", "metric", "value", "trivial",
    "encoder_sparsity", "model_sparsity", "scope_sparsity", "embeddings_sparsity", "head_sparsity",
    "steps", "seconds", "commit", "dirty", "packages", "data",
)  # fmt: skip


def frame(plan: Plan, store: Store, metric: str | None = None) -> pd.DataFrame:
    """All cells of a plan; ``value`` is missing where there is no reportable record.

    Columns: :data:`COLUMNS`. Metrics in percent, sparsities 0..1, time in seconds of training.
    ``packages`` are major versions, ``data`` the pins of rows and weights.
    """
    called = labels(plan)
    rows = [{"task": called[e.cell.task], **_row(e, store, metric)} for e in plan.entries]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def labels(plan: Plan) -> dict[TaskSettings, str]:
    """What each task is called: its name, and its configuration where several share the name."""
    tasks = list(dict.fromkeys(entry.cell.task for entry in plan.entries))
    names = [task.name for task in tasks]
    return {
        task: f"{task.name}-{task.config}" if names.count(task.name) > 1 else task.name
        for task in tasks
    }


def _row(entry: Entry, store: Store, metric: str | None) -> dict[str, object]:
    cell = entry.cell
    name = metric or SPECS[cell.task.name].primary_metric
    folder = store.folder(cell.folder)
    state = folder.state()
    row: dict[str, object] = {
        "arm": entry.arm,
        "compare_at": entry.compare_at,
        "sparsity": entry.target,
        "seed": cell.seed,
        "cell": cell.id,
        "state": state,
        "metric": name,
    }
    record = folder.record() if state == "done" else None
    if record is None or not record.reportable:
        return row
    return row | {
        "value": record.metrics.get(name),
        "trivial": record.trivial.get(name),
        "encoder_sparsity": record.sparsity.encoder.share,
        "model_sparsity": record.sparsity.model.share,
        "scope_sparsity": record.sparsity.scope.share,
        "embeddings_sparsity": record.sparsity.components["embeddings"].share,
        "head_sparsity": record.sparsity.components["head"].share,
        "steps": record.total_steps,
        "seconds": record.train_seconds,
        **_origin(record.provenance),
    }


def _origin(provenance: dict[str, Any]) -> dict[str, object]:
    """What must not differ between the cells of one table."""
    versions = {name: v for name, v in (provenance.get("packages") or {}).items() if v}
    pins = provenance.get("pins") or {}
    return {
        "commit": provenance.get("git_commit"),
        "dirty": provenance.get("git_dirty"),
        "packages": ", ".join(f"{name} {v.split('.')[0]}" for name, v in sorted(versions.items())),
        "data": ", ".join(f"{name} {pin}" for name, pin in sorted(pins.items())),
    }
