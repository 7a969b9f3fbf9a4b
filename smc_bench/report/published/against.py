"""Finished cells against published numbers: reproduced, within seed noise, off, can't tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special

from smc_bench.report.data.results import Results
from smc_bench.report.published.names import TASKS
from smc_bench.report.published.reported import Number, Reported
from smc_bench.report.statistics.stats import LEVEL
from smc_bench.report.tables.footnotes import partial
from smc_bench.report.tables.methods import Method
from smc_bench.sources.packages import seen_by
from smc_bench.suite.expand import Entry

Word = Literal["reproduced", "within seed noise", "off", "can't tell", "not comparable", "unknown"]

# Points. Ours: about the spread over seeds that the oBERT release reports (0.05 to 0.35), rounded
# up; a difference that surely is smaller counts as the same number.
MARGIN = 0.5

# Sparsities are published with three digits.
_SAME_SPARSITY = 0.001


@dataclass(frozen=True)
class Measured:
    """Mean over finished seeds and their standard deviation (not a number for one), in percent."""

    mean: float
    sd: float
    seeds: int


@dataclass(frozen=True)
class Answer:
    """One measured number beside a published one.

    Attributes:
        entry: The cell (of the first seed) in its place in the suite.
        ours: What was measured.
        method: The published method.
        theirs: The published number, or None where it is not known.
        word: The outcome.
        detail: By how much, or why not.
    """

    entry: Entry
    ours: Measured
    method: Method
    theirs: Number | None
    word: Word
    detail: str


def against_reported(
    results: Results, reported: Reported, methods: Sequence[Method]
) -> list[Answer]:
    """Every finished arm at every sparsity beside the published methods that it reruns."""
    entries: dict[tuple[str, str, str, float], Entry] = {}
    for entry in results.plan.entries:
        key = (results.labels[entry.cell.task], entry.compare_at, entry.arm, entry.target)
        entries.setdefault(key, entry)
    found = []
    for _, row in results.summary.iterrows():
        if row["n"]:
            entry = entries[row["task"], row["compare_at"], row["arm"], row["sparsity"]]
            ours = Measured(float(row["mean"]), float(row["sd"]), int(row["n"]))
            found += _answers(entry, ours, results, reported, methods)
    return found


def _answers(
    entry: Entry, ours: Measured, results: Results, reported: Reported, methods: Sequence[Method]
) -> list[Answer]:
    recipe = entry.cell.recipe
    metric = results.scores.metric[results.labels[entry.cell.task]]
    candidates = []
    for method in methods:
        if not method.is_run_by(recipe):
            continue
        numbers = [n for n in reported.numbers if method.reports(n)]
        here = [n for n in numbers if _is_at(n, entry, metric)]
        task = entry.cell.task.name
        if here or task in {ours[0] for ours in map(TASKS.get, method.tasks) if ours}:
            candidates.append((len(method.other_settings(recipe)), method, here))
    # The published method with the fewest other settings is the one that was meant.
    least = min((count for count, _, _ in candidates), default=0)
    return [
        _answer(entry, ours, results, reported, method, here)
        for count, method, here in candidates
        if count == least
    ]


def _is_at(number: Number, entry: Entry, metric: str) -> bool:
    task = entry.cell.task
    near = abs(number.share - entry.target) < _SAME_SPARSITY
    return near and number.answers(task.name, task.config, metric)


def _answer(
    entry: Entry,
    ours: Measured,
    results: Results,
    reported: Reported,
    method: Method,
    here: list[Number],
) -> Answer:
    scores = [number for number in here if number.statistic == "score"]
    # A number of the same model first, where the publication has several.
    scores.sort(key=lambda number: number.ours != entry.cell.model)
    if not scores:
        why = reported.unknown.get(method.paper, "no number is known here")
        return Answer(entry, ours, method, None, "unknown", why)
    number = scores[0]
    reasons = _reasons(entry, results, method, number)
    if reasons:
        return Answer(entry, ours, method, number, "not comparable", "; ".join(reasons))
    sds = [n.value for n in here if n.statistic == "sd" and n.model == number.model]
    word, detail = outcome(ours, number, sds[0] if sds else math.nan)
    caveat = f"; {method.caveat}" if method.caveat else ""
    return Answer(entry, ours, method, number, word, detail + caveat)


def _reasons(entry: Entry, results: Results, method: Method, number: Number) -> list[str]:
    cell = entry.cell
    found = []
    if number.ours != cell.model:
        found.append(f"other model ({cell.model}, theirs {number.model})")
    if cell.task.name in seen_by(cell.model):
        found.append("the model saw this task in pretraining")
    found += [
        f"partial data ({r})" for r in partial(results.plan).get(results.labels[cell.task], [])
    ]
    found += [f"other settings ({other})" for other in method.other_settings(cell.recipe)]
    if cell.recipe.sparsity_over == "structure":
        found.append(f"sparsity is counted over all {cell.recipe.structure} here")
    elif cell.recipe.sparsity_over != "scope":
        found.append("sparsity is counted over the encoder here, over all that is pruned there")
    if number.task in method.differs:
        found.append(method.differs[number.task])
    return found


def outcome(ours: Measured, number: Number, their_sd: float) -> tuple[Word, str]:
    """Ours against theirs, from both spreads over seeds.

    The spread is pooled over what is known of both (a published mean without its count is taken for
    one run); the error of reading a figure widens the interval. Where neither spread is known
    nothing can be told.

    Args:
        ours: What we measured.
        number: The published number.
        their_sd: Its published standard deviation, not a number where unknown.
    """
    difference, runs = ours.mean - number.value, number.seeds or 1
    error = number.error or 0.0
    squares, df = 0.0, 0
    for spread, count in ((ours.sd, ours.seeds), (their_sd, runs)):
        if math.isfinite(spread) and count > 1:
            squares, df = squares + (count - 1) * spread**2, df + count - 1
    shown = f"by {difference:+.2f}"
    if df == 0:
        return "can't tell", f"{shown} (one seed on either side: spread over seeds unknown)"
    half = float(special.stdtrit(df, 0.5 + LEVEL / 2.0)) * math.sqrt(
        squares / df * (1.0 / ours.seeds + 1.0 / runs)
    )
    low, high = difference - half - error, difference + half + error
    detail = f"{shown} ({low:+.2f} to {high:+.2f})"
    if low >= -MARGIN and high <= MARGIN:
        return "reproduced", detail
    return ("within seed noise" if low <= 0.0 <= high else "off"), detail
