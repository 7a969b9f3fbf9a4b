"""Compare two sides per cell and per arm, and say what differs between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from smc_bench.report.escape import markdown as escaped
from smc_bench.report.escape import markdown_line
from smc_bench.report.sides import Group, Item, Side, facts
from smc_bench.report.statistics.compare import Score, contrast
from smc_bench.report.statistics.stats import Estimate, holm


@dataclass(frozen=True)
class Row:
    """One cell or arm of the second side beside that of the first.

    Attributes:
        label: What it is called on the first side.
        metric: What is compared.
        seeds: Seeds of each side.
        values: Mean score of each side, in points.
        effect: Second minus first, with its error.
        mcnemar: McNemar's two-sided p, where each side is one model that answered right or wrong.
        p: Two-sided p of "no difference", corrected by Holm for the rows of its table; None where
            nothing shows the spread.
        cells: Ids of each side.
        same_weights: Whether both have the same weights to the bit (of cells alone).
    """

    label: str
    metric: str
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    values: tuple[float, float]
    effect: Estimate
    mcnemar: float | None
    p: float | None
    cells: tuple[tuple[str, ...], tuple[str, ...]]
    same_weights: bool | None = None


@dataclass(frozen=True)
class SideBySide:
    """Two sides compared.

    Attributes:
        names: What the sides are called.
        cells: A row a pair of cells.
        arms: A row an arm, over its seeds.
        differs: What differs between paired cells: values of both sides with the number of pairs.
        alone: On each side, cells that the other does not have.
        problems: Cells that are left out, and why.
    """

    names: tuple[str, str]
    cells: tuple[Row, ...]
    arms: tuple[Row, ...]
    differs: dict[str, tuple[tuple[Any, Any, int], ...]]
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    problems: tuple[str, ...]


def side_by_side(first: Side, second: Side) -> SideBySide:
    """Pair cells by what they are and by seed, and compare: second minus first."""
    problems = [*first.problems, *second.problems]
    rows: list[tuple[str, list[Item], list[Item]]] = []
    arms: list[tuple[str, list[Item], list[Item]]] = []
    paired: set[tuple[int, str]] = set()
    for group in [group for group in first.groups if group in second.groups]:
        one, other = _told_apart(first, second, group, problems)
        label = first.labels[group]
        for seed in sorted(one.keys() & other.keys()):
            rows.append((f"{label}, seed {seed}", [one[seed]], [other[seed]]))
            paired |= {(0, one[seed].score.cell), (1, other[seed].score.cell)}
        if one and other:
            arms.append((label, list(one.values()), list(other.values())))
    rows.sort(key=lambda row: row[0])
    arms.sort(key=lambda row: row[0])
    pairs = [(one[0], other[0]) for _, one, other in rows]
    return SideBySide(
        (first.name, second.name),
        tuple(_rows(rows)),
        tuple(_rows(arms)),
        _differences(pairs),
        (_alone(first, 0, paired), _alone(second, 1, paired)),
        tuple(dict.fromkeys(problems)),
    )


def _told_apart(
    first: Side, second: Side, group: Group, problems: list[str]
) -> tuple[dict[int, Item], dict[int, Item]]:
    """One cell a seed and side; of several alike the one that both sides have."""
    found: tuple[dict[int, Item], dict[int, Item]] = ({}, {})
    sides = (first.groups[group], second.groups[group])
    for here, there, kept, name in ((0, 1, found[0], first.name), (1, 0, found[1], second.name)):
        for seed, items in sides[here].items():
            others = {item.score.cell for item in sides[there].get(seed, [])}
            shared = [item for item in items if item.score.cell in others]
            chosen = items if len(items) == 1 else shared
            if len(chosen) == 1:
                kept[seed] = chosen[0]
            else:
                ids = ", ".join(item.score.cell for item in items)
                problems.append(
                    f"{name}: cells {ids} differ only in what may differ between two sides "
                    "(precision, pins, versions); it is not known which to compare"
                )
    return found


def _rows(compared: list[tuple[str, list[Item], list[Item]]]) -> list[Row]:
    found = [_row(*each) for each in compared]
    tested = [row for row in found if row.p is not None]
    corrected = iter(holm([row.p for row in tested if row.p is not None]))
    return [row if row.p is None else Row(**{**vars(row), "p": next(corrected)}) for row in found]


def _row(label: str, one: list[Item], other: list[Item]) -> Row:
    scores: list[dict[int, Score]] = [
        {item.found.cell.seed: item.score for item in side} for side in (one, other)
    ]
    effect, exact = contrast(scores[1], scores[0])
    means = [sum(s.value for s in side.values()) / len(side) for side in scores]
    same = None
    if len(one) == len(other) == 1:
        weights = {item.found.record.weights_sha256 for item in (*one, *other)}
        same = len(weights) == 1
    return Row(
        label,
        one[0].metric,
        (tuple(scores[0]), tuple(scores[1])),
        (means[0], means[1]),
        effect,
        None if exact is None else exact[0],
        effect.p if effect.known else None,
        (tuple(i.score.cell for i in one), tuple(i.score.cell for i in other)),
        same,
    )


def _differences(pairs: list[tuple[Item, Item]]) -> dict[str, tuple[tuple[Any, Any, int], ...]]:
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for one, other in pairs:
        here, there = facts(one.found), facts(other.found)
        for name in dict.fromkeys((*here, *there)):
            values = (here.get(name), there.get(name))
            if values[0] != values[1]:
                shown = tuple("-" if value is None else str(value) for value in values)
                counts.setdefault(name, Counter())[shown[0], shown[1]] += 1
    return {
        name: tuple((one, other, count) for (one, other), count in found.most_common())
        for name, found in counts.items()
    }


def _alone(side: Side, number: int, paired: set[tuple[int, str]]) -> tuple[str, ...]:
    everything = (i.score.cell for g in side.groups.values() for items in g.values() for i in items)
    return tuple(sorted(cell for cell in everything if (number, cell) not in paired))


def as_json(found: SideBySide) -> dict[str, Any]:
    """Plain data."""
    return {
        "sides": list(found.names),
        "cells": [_row_json(row) for row in found.cells],
        "arms": [_row_json(row) for row in found.arms],
        "differs": {
            name: [{"first": a, "second": b, "pairs": count} for a, b, count in values]
            for name, values in found.differs.items()
        },
        "alone": [list(side) for side in found.alone],
        "problems": list(found.problems),
    }


def _row_json(row: Row) -> dict[str, Any]:
    low, high = row.effect.interval() if row.effect.known else (None, None)
    return {
        "label": row.label,
        "metric": row.metric,
        "seeds": [list(side) for side in row.seeds],
        "values": list(row.values),
        "difference": row.effect.value,
        "low": low,
        "high": high,
        "covers": row.effect.covers,
        "p": row.p,
        "mcnemar_p": row.mcnemar,
        "same_weights": row.same_weights,
        "cells": [list(side) for side in row.cells],
    }


def markdown(found: SideBySide) -> str:
    """All of it, for a terminal or a page."""
    one, other = (escaped(name) for name in found.names)
    lines = [f"# {other} against {one}", ""]
    if not found.arms:
        lines += ["Nothing is finished on both sides that could be compared.", ""]
    for title, rows in (("Per arm", found.arms), ("Per cell", found.cells)):
        if rows:
            body = [_row_text(row) for row in rows]
            table = pd.DataFrame(body, columns=["", "first", "second", *_COLUMNS])
            lines += [f"## {title}", "", table.to_markdown(index=False, disable_numparse=True), ""]
    if found.cells:
        same = sum(row.same_weights is True for row in found.cells)
        lines += [f"{same} of {len(found.cells)} pairs have the same weights to the bit.", ""]
        lines += _differs_text(found)
    for name, cells in zip(found.names, found.alone, strict=True):
        if cells:
            lines.append(f"- {escaped(name)} alone has {len(cells)}: {', '.join(cells)}")
    lines += [f"- left out: {markdown_line(problem)}" for problem in found.problems]
    lines += [f"- {note}" for note in _notes(found)]
    return "\n".join(lines) + "\n"


def _notes(found: SideBySide) -> list[str]:
    notes = []
    if found.arms:
        notes.append("Differences are second minus first, in points; p is two-sided, by Holm.")
    if any(not row.effect.over_seeds for row in found.arms):
        notes.append("One seed: p is about these models, not their arms; nothing is decided by it.")
    return notes


_COLUMNS = ("difference", "95 % interval", "p", "McNemar p", "covers")


def _row_text(row: Row) -> list[str]:
    low, high = row.effect.interval()
    return [
        escaped(f"{row.label} ({row.metric})"),
        *(f"{value:.2f}" for value in row.values),
        f"{row.effect.value:+.2f}",
        f"{low:+.2f} to {high:+.2f}" if row.effect.known else "unknown",
        *("-" if p is None else f"{p:.2g}" for p in (row.p, row.mcnemar)),
        escaped(row.effect.covers),
    ]


def _differs_text(found: SideBySide) -> list[str]:
    if not found.differs:
        return ["Commit, packages, processor, precision and pins are the same on both sides.", ""]
    body = [
        [escaped(name), escaped(one), escaped(other), str(count)]
        for name, values in found.differs.items()
        for one, other, count in values
    ]
    table = pd.DataFrame(body, columns=["what differs", "first", "second", "pairs"])
    return [table.to_markdown(index=False, disable_numparse=True), ""]
