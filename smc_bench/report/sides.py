"""Two sets of finished cells side by side: which belong together, and what came of them.

Cells of two results folders belong together where all is equal that should be: task, model, recipe,
sparsity and seed. Precision, pins and versions may differ, and are told. Arms of a folder are cells
that differ in nothing but the seed. Of suites, cells belong together by task, sparsity, arm and
seed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smc_bench.errors import DamagedError
from smc_bench.report.data.frame import primary_metric
from smc_bench.report.data.stored import Finished, finished
from smc_bench.report.statistics.compare import Score
from smc_bench.report.statistics.examples import Chosen, Examples
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.labels import labels
from smc_bench.tasks.specs import SPECS

Group = tuple[str, ...]
"""What is compared, but for the seed: see the module."""

# What may differ between two runs of one experiment.
_MAY_DIFFER = ("identity_version", "seed", "teacher", "model_pin", "data_pins", "scorer_version")


@dataclass(frozen=True)
class Item:
    """A finished cell in its place."""

    found: Finished
    score: Score
    metric: str


@dataclass
class Side:
    """One of the two sets.

    Attributes:
        name: What it is called.
        groups: Cells by what is compared and by seed; more than one where nothing tells them apart.
        labels: What each group is called.
        problems: Files that can't be believed, whose cells are left out.
    """

    name: str
    groups: dict[Group, dict[int, list[Item]]] = field(default_factory=dict)
    labels: dict[Group, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, group: Group, label: str, item: Item) -> None:
        """Put a cell into its place, once."""
        there = self.groups.setdefault(group, defaultdict(list))[item.found.cell.seed]
        if all(other.found.cell.id != item.found.cell.id for other in there):
            there.append(item)
        self.labels.setdefault(group, label)


def folder_side(name: str, store: Store, metric: str | None = None) -> Side:
    """All finished cells of a results folder."""
    found, problems = finished(store)
    side = Side(name, problems=problems)
    reader = _Reader(found, store, side.problems)
    keys = _Keys(found)
    for item in found.values():
        cell = item.cell
        read = reader.item(item, metric)
        if read is not None:
            label = f"{cell.task.name}, {cell.slug.removesuffix(f'-s{cell.seed}')}"
            side.add((keys.of(cell), read.metric), label, read)
    _tell_apart(side)
    return side


def plan_side(
    name: str, plan: Plan, store: Store, arm: str | None = None, metric: str | None = None
) -> Side:
    """Finished cells of a suite; with ``arm`` those of one, which may be compared with another."""
    stored, problems = finished(store)
    found = {key: stored[key] for key in plan.cells.keys() & stored.keys()}
    side = Side(name, problems=problems)
    reader, called = _Reader(found, store, side.problems), labels(plan)
    for entry in plan.entries:
        if entry.cell.id not in found or arm not in (None, entry.arm):
            continue
        read = reader.item(found[entry.cell.id], metric)
        if read is not None:
            place = (called[entry.cell.task], entry.compare_at, f"{entry.target:.4g}", read.metric)
            group = place if arm is not None else (*place, entry.arm)
            shown = [place[0], *([] if arm is not None else [entry.arm]), place[2], place[1]]
            side.add(group, ", ".join(part for part in shown if part), read)
    return side


class _Reader:
    """Scores of finished cells with their parts by example."""

    def __init__(self, found: Mapping[str, Finished], store: Store, problems: list[str]) -> None:
        cells = {key: item.cell for key, item in found.items()}
        self.examples, self.problems = Examples(Chosen(cells), store), problems

    def item(self, found: Finished, metric: str | None) -> Item | None:
        """None where the cell has no such metric, or its files contradict each other."""
        cell, metrics = found.cell, found.record.metrics
        known = cell.task.name in SPECS
        name = metric or (primary_metric(cell) if known else next(iter(metrics)))
        value = metrics.get(name)
        if value is None:
            return None
        try:
            parts = self.examples.parts(cell.id, name, value) if known else None
        except DamagedError as error:
            self.problems.append(str(error))
            return None
        return Item(found, Score(value, parts, cell.id), name)


class _Keys:
    """What must be equal of two cells of two folders, as text."""

    def __init__(self, found: Mapping[str, Finished]) -> None:
        self.found = found

    def of(self, cell: Cell) -> str:
        """A cell's key; a teacher counts by its own key, since its id has the pins in it."""
        content = cell.model_dump(mode="json", exclude=set(_MAY_DIFFER))
        del content["task"]["version"], content["recipe"]["train"]["precision"]
        content["recipe"]["scorer_options"].pop("fisher_memory", None)
        if cell.teacher is not None:
            above = self.found.get(cell.teacher)
            same = above is not None and above.cell.id != cell.id
            content["teacher"] = (
                [self.of(above.cell), above.cell.seed] if above and same else cell.teacher
            )
        return json.dumps(content, sort_keys=True)


def _tell_apart(side: Side) -> None:
    """Arms of a folder that are called alike get the id of their first cell."""
    names: dict[str, list[Group]] = defaultdict(list)
    for group, label in side.labels.items():
        names[label].append(group)
    for label, groups in names.items():
        for group in groups if len(groups) > 1 else ():
            members = (item for items in side.groups[group].values() for item in items)
            first = min(item.found.cell.id for item in members)
            side.labels[group] = f"{label} ({first[:8]})"


def facts(found: Finished) -> dict[str, Any]:
    """What may differ between two runs of one experiment, by name."""
    record, origin = found.record, found.record.provenance
    packages = origin.get("packages") or {}
    settings = {
        "precision": found.cell.recipe.train.precision,
        "commit": origin.get("git_commit"),
        "uncommitted changes": origin.get("git_dirty"),
        "python": origin.get("python"),
        "processor": origin.get("processor") or origin.get("machine"),
        "device": record.device,
        "threads": record.threads,
        "padding": record.padding,
        "weights": found.cell.model_pin,
        "identity version": found.cell.identity_version,
        "environment": origin.get("environment") or None,
    }
    pins = {f"rows of {split}": pin for split, pin in found.cell.data_pins.items()}
    return settings | {f"package {name}": packages[name] for name in sorted(packages)} | pins
