"""Measured beside published numbers, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from smc_bench.report.data.results import Results
from smc_bench.report.escape import markdown as escaped
from smc_bench.report.escape import markdown_line
from smc_bench.report.published.against import Answer
from smc_bench.report.published.reported import Number
from smc_bench.report.tables.tables import AT

_COLUMNS = ["task", "arm", "sparsity", "ours", "published", "method", "outcome"]


def markdown(results: Results, answers: Sequence[Answer]) -> str:
    """A row for each comparison, reasons as notes, then arms without a published counterpart."""
    lines = ["## Against published numbers", ""]
    # The same reason stands for many rows: said once, and numbered.
    reasons = dict.fromkeys(reason for reason in map(_reason, answers) if reason)
    notes = {reason: number for number, reason in enumerate(reasons, start=1)}
    if answers:
        rows = [_row(results, answer, notes) for answer in answers]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        lines += [table.to_markdown(index=False, disable_numparse=True), ""]
    lines += [f"- [{number}] {escaped(reason)}." for reason, number in notes.items()]
    for (task, arm), levels in _alone(results, answers).items():
        text = f"{task}: no published number is known for {arm} at {', '.join(levels)}."
        lines.append(f"- {markdown_line(text)}")
    return "\n".join(lines) + "\n"


def _reason(answer: Answer) -> str:
    """Why a row says nothing of the published number; empty where it does."""
    return answer.detail if answer.word in ("not comparable", "unknown") else ""


def _row(results: Results, answer: Answer, notes: dict[str, int]) -> list[str]:
    entry = answer.entry
    at = AT[entry.compare_at].split(" (")[0]
    return [
        escaped(results.labels[entry.cell.task]),
        escaped(f"{entry.arm} ({at})" if at else entry.arm),
        f"{entry.target:.4g}",
        f"{answer.ours.mean:.2f}",
        "" if answer.theirs is None else _number(answer.theirs),
        escaped(f"{answer.method.method} ({answer.method.paper})"),
        _outcome(answer, notes),
    ]


def _outcome(answer: Answer, notes: dict[str, int]) -> str:
    if _reason(answer):
        return f"**{answer.word}** [{notes[answer.detail]}]"
    return f"**{answer.word}**{' ' if answer.word == 'off' else ': '}{escaped(answer.detail)}"


def _number(number: Number) -> str:
    error = f" ±{number.error:g}" if number.error is not None else ""
    mark = "" if number.mark == "verbatim" else f" ({number.mark})"
    return f"{number.value:.2f}{error}{mark}"


def _alone(results: Results, answers: Sequence[Answer]) -> dict[tuple[str, str], list[str]]:
    matched = {(results.labels[a.entry.cell.task], a.entry.arm, a.entry.target) for a in answers}
    found: dict[tuple[str, str], list[str]] = {}
    for _, row in results.summary[results.summary["n"] > 0].iterrows():
        if (row["task"], row["arm"], row["sparsity"]) not in matched:
            levels = found.setdefault((row["task"], row["arm"]), [])
            levels += [level for level in [f"{row['sparsity']:.4g}"] if level not in levels]
    return found
