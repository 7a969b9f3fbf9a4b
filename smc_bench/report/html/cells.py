"""One cell as the page shows it: outcome, training, where its zeros are, settings and origin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from smc_bench.engine.recipe import COMPONENTS
from smc_bench.report.data.results import Results
from smc_bench.report.data.training import Share, Step, by_layer, reached, steps
from smc_bench.report.html import settings, svg
from smc_bench.report.html.settings import Facts
from smc_bench.report.html.svg import Scale
from smc_bench.report.statistics.constants import Constants
from smc_bench.report.tables.caveats import one_answer
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell

WIDTH, HEIGHT = 480.0, 184.0
_INNER = (8.0, 472.0, 176.0, 8.0)


@dataclass(frozen=True)
class Curve:
    """A quantity over training: a path in a small drawing, and the same in words."""

    name: str
    path: str
    says: str


@dataclass(frozen=True)
class CellView:
    """A cell in its place in the suite.

    Attributes:
        id: Its id.
        task: What the suite calls its task.
        arm: Its arm.
        at: Way of comparing.
        sparsity: Its target on the suite's axis.
        seed: Its seed.
        state: As in the store.
        metric: The metric that is shown.
        value: The score in percent, or None.
        constant: In which way it answers everything alike; empty where it does not.
        baselines: If it does: what always the first and always the commonest class score.
        audit: What the audit of the saved weights came to.
        sparsities: Measured sparsity by component, and of the whole.
        layers: The same by layer.
        curves: Training.
        settings: Settings that not all cells share.
        origin: Origin, as far as not all share it.
        note: Why it failed, or why it is left out.
        steps: Optimizer steps that were taken.
        teacher: Id of the teacher, if it has one among these cells.
    """

    id: str
    task: str
    arm: str
    at: str
    sparsity: float
    seed: int
    state: str
    metric: str
    value: float | None
    constant: str
    baselines: str
    audit: str
    sparsities: tuple[Share, ...]
    layers: tuple[Share, ...]
    curves: tuple[Curve, ...]
    settings: Facts
    origin: Facts
    note: str
    steps: int | None
    teacher: str | None


@dataclass(frozen=True)
class Cells:
    """All cells of a suite.

    Attributes:
        views: One for each, in the plan's order.
        settings: What all of them share.
        origin: What all records share.
    """

    views: tuple[CellView, ...]
    settings: Facts
    origin: Facts

    @cached_property
    def constant(self) -> dict[str, str]:
        """By id of each cell that answers everything alike: what such answers score."""
        return {view.id: view.baselines for view in self.views if view.constant}

    @property
    def troubled(self) -> list[CellView]:
        """Cells that failed, were interrupted, or can't be believed."""
        return [view for view in self.views if view.note]


def cells(results: Results, store: Store) -> Cells:
    """Look at every cell of a plan; a cell in several places of the suite is shown once."""
    plan = results.plan
    of_cells = {key: settings.settings(cell) for key, cell in plan.cells.items()}
    origins = {key: settings.origin(record) for key, record in results.records.items()}
    common, common_origin = settings.shared(of_cells), settings.shared(origins)
    constants = Constants(results)
    views = []
    for _, row in results.data.drop_duplicates("cell").iterrows():
        key = str(row["cell"])
        record = results.records.get(key)
        views.append(
            _view(
                row,
                plan.cells[key],
                record,
                results,
                store,
                constants,
                settings.own(of_cells[key], common),
                settings.own(origins.get(key, {}), common_origin),
            )
        )
    return Cells(tuple(views), common, common_origin)


def _view(
    row: pd.Series,
    cell: Cell,
    record: Record | None,
    results: Results,
    store: Store,
    constants: Constants,
    own: Facts,
    origin: Facts,
) -> CellView:
    folder, state = store.folder(cell.folder), str(row["state"])
    value = float(row["value"]) if pd.notna(row["value"]) else None
    constant = ("", "")
    if value is not None:
        constant = _constant(results, constants, cell, str(row["task"]))
    log = steps(folder.path / "train.jsonl")
    return CellView(
        id=cell.id,
        task=str(row["task"]),
        arm=str(row["arm"]),
        at=str(row["compare_at"]),
        sparsity=float(row["sparsity"]),
        seed=cell.seed,
        state=state,
        metric=str(row["metric"]),
        value=value,
        constant=constant[0],
        baselines=constant[1],
        audit="" if record is None else _audit(cell, record),
        sparsities=() if record is None else _sparsities(record),
        layers=() if record is None else tuple(by_layer(record)),
        curves=tuple(_curves(log, record)),
        settings=own,
        origin=origin,
        note=_note(state, cell, store),
        steps=None if record is None else record.total_steps,
        teacher=cell.teacher if cell.teacher in results.plan.cells else None,
    )


def _constant(results: Results, constants: Constants, cell: Cell, task: str) -> tuple[str, str]:
    """In which way a finished cell answers everything alike, and what such answers score."""
    text = one_answer(results, task, cell.id)
    found = constants.of(cell, results.scores.metric[task]) if text else None
    if found is None:
        return text, ""
    return text, (
        f"always the first class: {found.first:.2f}; always the commonest (class "
        f"{found.common}): {found.commonest:.2f}"
    )


def _note(state: str, cell: Cell, store: Store) -> str:
    folder = store.folder(cell.folder)
    if state == "damaged":
        return folder.damage() or "its files contradict each other; see the notes"
    if state == "failed":
        failure = folder.failure()
        return "" if failure is None else f"{failure.type}: {failure.message}"
    return "interrupted: the next run goes on with it" if state == "interrupted" else ""


def _audit(cell: Cell, record: Record) -> str:
    """A record is written only where the audit of the saved file passed: by how much."""
    measured = record.sparsity
    if cell.recipe.sparsity_schedule is None:
        zeros = sum(count.zeros for count in measured.components.values())
        return f"passed: dense; {zeros:,} zeros among the prunable weights"
    of = {
        "scope": ("the scope", measured.scope.zeros, measured.scope.total),
        "encoder": ("the encoder", measured.encoder.zeros, measured.encoder.total),
        "encoder_zeros": (
            "the encoder's size (zeros anywhere)",
            measured.scope.zeros,
            measured.encoder.total,
        ),
    }
    if measured.structure is not None:
        units = measured.structure
        of["structure"] = (f"all {cell.recipe.structure}", units.zeros, units.total)
    what, zeros, total = of[cell.recipe.sparsity_over]
    share = zeros / total if total else 0.0
    promised = record.events[-1].get("target") if record.events else None
    said = "" if promised is None else f", {100 * promised:.3f} % scheduled"
    return (
        f"passed: {100 * share:.3f} % of {what} is zero in the saved file "
        f"({zeros:,} of {total:,}{said})"
    )


def _sparsities(record: Record) -> tuple[Share, ...]:
    counts = {name: record.sparsity.components[name] for name in COMPONENTS}
    whole = {"scope": record.sparsity.scope, "whole model": record.sparsity.model}
    return tuple(Share(k, c.total - c.zeros, c.total) for k, c in (counts | whole).items())


def _curves(log: list[Step], record: Record | None) -> list[Curve]:
    last = log[-1].step if log else 0
    total = float(max(last, record.total_steps if record else 0, 1))
    found = [
        _curve("loss", [(s.step, s.loss) for s in log if s.loss is not None], total, ".3g"),
        _curve("learning rate", [(s.step, s.lr) for s in log if s.lr is not None], total, ".2g"),
    ]
    if record is not None and record.events:
        corners = reached(record.events, record.total_steps)
        found.append(_curve("sparsity of the scope", corners, total, ".3f", low=0.0))
    elif record is None:
        known = [(s.step, s.sparsity) for s in log if s.sparsity is not None]
        found.append(_curve("scheduled sparsity", known, total, ".3f", low=0.0))
    return [curve for curve in found if curve is not None]


def _curve(
    name: str,
    points: list[tuple[int, float]] | list[tuple[float, float]],
    total: float,
    form: str,
    low: float | None = None,
) -> Curve | None:
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    left, right, bottom, top = _INNER
    along = Scale(0.0, total, left, right)
    up = Scale(min(values) if low is None else low, max(values), bottom, top)
    first, last = (format(value, form) for value in (values[0], values[-1]))
    ends = f"{min(values):{form}} to {max(values):{form}}"
    says = f"{first} at first, {last} at last; {ends} over {total:.0f} steps"
    return Curve(name, svg.path([(round(along(x)), round(up(y))) for x, y in points]), says)
