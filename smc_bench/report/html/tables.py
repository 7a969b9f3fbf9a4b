"""Tables of the page: arms by sparsity, every number, and published ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from smc_bench.report.data.results import Results
from smc_bench.report.html.cells import Cells
from smc_bench.report.published.against import Answer
from smc_bench.report.statistics.compare import Place
from smc_bench.report.tables.tables import AT, headings, score_text
from smc_bench.suite.expand import DENSE_ARM


@dataclass(frozen=True)
class Field:
    """One cell of a table: what is shown, what it is sorted by, whether it is bold, and notes."""

    text: str
    key: str = ""
    bold: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A sortable table; the first column names the row. ``numbers`` counts columns from 0."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Field, ...], ...]
    numbers: frozenset[int] = field(default_factory=frozenset)


def grids(results: Results, cells: Cells) -> list[Table]:
    """A table for each task and way of comparing: arms down, sparsities across."""
    return [_grid(results, cells, task, at) for task in results.tasks for at in results.ways(task)]


def _grid(results: Results, cells: Cells, task: str, at: str) -> Table:
    table, significance = results.summary, results.significance(task, at)
    part = table[
        (table["task"] == task) & (table["compare_at"] == at) & (table["arm"] != DENSE_ARM)
    ]
    levels = list(dict.fromkeys(part["sparsity"]))
    best = {x: significance.best(Place(task, at, x)) for x in levels}
    found = {(str(row["arm"]), float(row["sparsity"])): row for _, row in part.iterrows()}
    rows = []
    for arm in dict.fromkeys(map(str, part["arm"])):
        fields = [Field(arm)]
        for x in levels:
            row = found.get((arm, x))
            note = _constant(results, cells, Place(task, at, x), arm)
            fields.append(Field("") if row is None else _score(row, note, arm in best[x]))
        rows.append(tuple(fields))
    rows += _references(results, task, len(levels))
    metric = results.scores.metric[task]
    where = f", {AT[at]}" if AT[at] else ""
    return Table(
        f"{task}{where}: {metric} in %, mean ± sd over seeds, by sparsity",
        ("arm", *headings(levels)),
        tuple(rows),
        frozenset(range(1, len(levels) + 1)),
    )


def _score(row: pd.Series, notes: tuple[str, ...], bold: bool) -> Field:
    key = "" if row["n"] == 0 else f"{row['mean']:.6f}"
    return Field(score_text(row), key, bold, notes)


def _constant(results: Results, cells: Cells, place: Place, arm: str) -> tuple[str, ...]:
    """What is to be said beside a score of models that answer everything alike."""
    ids = [cell for cell, _ in results.scores.cells(place, arm).values()]
    notes = [cells.constant[key] for key in ids if key in cells.constant]
    if not notes:
        return ()
    of = f" ({len(notes)} of {len(ids)} seeds)" if len(ids) > 1 else ""
    said = "; ".join(dict.fromkeys(filter(None, notes)))
    return (f"constant output{of}{': ' if said else ''}{said}",)


def _references(results: Results, task: str, columns: int) -> list[tuple[Field, ...]]:
    """The dense model and the best answer that ignores the input: the same in every column."""
    table = results.summary
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]
    rows = []
    if len(dense):
        rows.append((Field(DENSE_ARM), *[_score(dense.iloc[0], (), False)] * columns))
    trivial = results.data.loc[results.data["task"] == task, "trivial"].dropna()
    if len(trivial):
        value = Field(f"{trivial.iloc[0]:.2f}", f"{trivial.iloc[0]:.6f}")
        rows.append((Field("ignoring the input"), *[value] * columns))
    return rows


_NUMBERS = (
    ("mean", "mean", ".2f", 1.0),
    ("sd", "sd", ".2f", 1.0),
    ("seeds", "n", ".0f", 1.0),
    ("95 % low", "low", ".2f", 1.0),
    ("95 % high", "high", ".2f", 1.0),
    ("% of dense", "recovery", ".1f", 1.0),
    ("encoder sparsity %", "encoder_sparsity", ".2f", 100.0),
    ("model sparsity %", "model_sparsity", ".2f", 100.0),
    ("size (millions)", "size_millions", ".4g", 1.0),
)


def numbers(results: Results, answers: Sequence[Answer]) -> Table:
    """Every arm at every sparsity with all that was measured, and published numbers beside."""
    beside: dict[tuple[str, str, str, float], list[Answer]] = {}
    for answer in answers:
        entry = answer.entry
        key = (results.labels[entry.cell.task], entry.compare_at, entry.arm, entry.target)
        beside.setdefault(key, []).append(answer)
    tasks, ways = len(results.tasks) > 1, any(len(results.ways(t)) > 1 for t in results.tasks)
    rows = []
    for _, row in results.summary[results.summary["n"] > 0].iterrows():
        key = (str(row["task"]), str(row["compare_at"]), str(row["arm"]), float(row["sparsity"]))
        fields = [Field(key[2]), *([Field(key[0])] if tasks else [])]
        fields += [Field(key[1].removesuffix("_sparsity"))] if ways else []
        fields.append(Field(f"{key[3]:.4g}", f"{key[3]}"))
        for _, column, form, scale in _NUMBERS:
            value = scale * float(row[column])
            shown = Field("") if pd.isna(value) else Field(f"{value:{form}}", f"{value:.6f}")
            fields.append(shown)
        fields.append(_published(beside.get(key, [])))
        rows.append(tuple(fields))
    named = ("arm", *(["task"] if tasks else []), *(["at equal sparsity of"] if ways else []))
    heads = (*named, "sparsity", *(head for head, *_ in _NUMBERS), "published")
    columns = frozenset(range(len(named), len(heads) - 1))
    return Table("Every number", heads, tuple(rows), columns)


def _published(answers: Sequence[Answer]) -> Field:
    """Numbers that ours can be compared with; of the others how many there are."""
    known = [(a, a.theirs) for a in answers if a.theirs is not None]
    fit = [(a, number) for a, number in known if a.word != "not comparable"]
    texts = [f"{number.value:.2f} ({a.method.method}: {a.word})" for a, number in fit]
    if len(fit) < len(known):
        texts.append(f"{len(known) - len(fit)} not comparable, see below")
    return Field("; ".join(texts), f"{fit[0][1].value:.6f}" if fit else "")


def against(results: Results, answers: Sequence[Answer]) -> Table:
    """Measured beside published numbers, with the outcome and its reason."""
    rows = []
    for answer in answers:
        entry, theirs = answer.entry, answer.theirs
        at = AT[entry.compare_at].split(" (")[0]
        error = f" ± {theirs.error:g}" if theirs is not None and theirs.error is not None else ""
        mark = "" if theirs is None or theirs.mark == "verbatim" else f" ({theirs.mark})"
        rows.append(
            (
                Field(f"{entry.arm} ({at})" if at else entry.arm),
                Field(results.labels[entry.cell.task]),
                Field(f"{entry.target:.4g}", f"{entry.target}"),
                Field(f"{answer.ours.mean:.2f}", f"{answer.ours.mean:.6f}"),
                Field("")
                if theirs is None
                else Field(f"{theirs.value:.2f}{error}{mark}", f"{theirs.value:.6f}"),
                Field(f"{answer.method.method} ({answer.method.paper})"),
                Field(answer.word),
                Field(answer.detail),
            )
        )
    heads = ("arm", "task", "sparsity", "ours", "published", "method", "outcome", "why")
    return Table(
        "Measured beside published numbers, the outcome and why",
        heads,
        tuple(rows),
        frozenset({2, 3, 4}),
    )
