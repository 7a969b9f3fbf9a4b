"""Comparison tables: arms down, sparsities across, as Markdown and CSV (LaTeX: ``latex.py``)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from smc_bench.report import escape
from smc_bench.report.data.results import Results
from smc_bench.report.outputs import Make, text, write_all
from smc_bench.report.statistics.compare import Place
from smc_bench.report.statistics.significance import BOLD
from smc_bench.report.tables.footnotes import footnotes
from smc_bench.report.tables.latex import latex as for_paper
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.tasks.directions import in_words, lower_is_better

Style = Literal["markdown", "html"]

AT = {
    "": "",
    "scope_sparsity": "each arm at the sparsity of its own scope, as published",
    "encoder_sparsity": "at equal encoder sparsity",
    "model_sparsity": "at equal whole-model sparsity (x = as many zeros as x of the encoder)",
}


def score_text(row: pd.Series, *, recovery: bool = False) -> str:
    """One row of the summary as it stands in a table: mean ± sd (finished/planned seeds)."""
    if row["n"] == 0:
        return "-"
    text = f"{row['mean']:.2f}"
    if row["n"] > 1:
        text += f" ± {row['sd']:.2f}"
    if recovery and pd.notna(row["recovery"]):
        text += f" ({row['recovery']:.1f} %)"
    return text if row["n"] == row["of"] else f"{text} ({row['n']:.0f}/{row['of']:.0f})"


def wide(
    results: Results,
    task: str,
    compare_at: str,
    *,
    recovery: bool = False,
    style: Style = "markdown",
) -> pd.DataFrame:
    """One task's table: rows are arms, columns sparsities, cells mean ± sd over seeds.

    Args:
        results: The suite's finished cells.
        task: One of its tasks.
        compare_at: One of the ways of comparing.
        recovery: Add the percentage of the dense score.
        style: Markup of the arms that none is shown to be better than.
    """
    table, significance = results.summary, results.significance(task, compare_at)
    part = table[
        (table["task"] == task) & (table["compare_at"] == compare_at) & (table["arm"] != DENSE_ARM)
    ]
    columns = list(dict.fromkeys(part["sparsity"]))
    best = {x: significance.best(Place(task, compare_at, x)) for x in columns}
    cells: dict[tuple[str, float], str] = {}
    for _, row in part.iterrows():
        text = score_text(row, recovery=recovery)
        bold = row["arm"] in best[row["sparsity"]]
        cells[row["arm"], row["sparsity"]] = _marked(text, bold=bold, style=style)
    arms = list(dict.fromkeys(part["arm"]))
    body = [[cells.get((arm, x), "") for x in columns] for arm in arms]
    names = [_marked(str(arm), bold=False, style=style) for arm in arms]
    index = pd.Index(names, name="arm \\ sparsity" if style == "markdown" else "arm")
    return pd.DataFrame(body, index=index, columns=headings(columns))


def headings(levels: Sequence[float]) -> list[str]:
    """Sparsities in four digits, or as many as tell them apart."""
    for digits in range(4, 18):
        found = [f"{level:.{digits}g}" for level in levels]
        if len(set(found)) == len(set(levels)):
            break
    return found


def _marked(text: str, *, bold: bool, style: Style) -> str:
    if style == "html":
        text = html.escape(text)
        return f"<strong>{text}</strong>" if bold else text
    text = escape.markdown(text)
    return f"**{text}**" if bold else text


def markdown(results: Results, *, recovery: bool = False) -> str:
    """The suite's tables with title, dense and trivial scores, and footnotes."""
    lines = heading(results, "")
    for task in results.tasks:
        lines += [_heading(results, task), ""]
        for at in results.ways(task):
            if AT[at]:
                lines += [f"_{AT[at]}_", ""]
            found = wide(results, task, at, recovery=recovery)
            lines += [found.to_markdown(disable_numparse=True), ""]
    lines += [f"- {escape.markdown_line(note)}" for note in notes(results, recovery=recovery)]
    return "\n".join(lines) + "\n"


def notes(results: Results, *, recovery: bool = False) -> list[str]:
    """All that has to be said under the suite's tables, a sentence or two each."""
    found: list[str] = []
    for task in results.tasks:
        for at in results.ways(task):
            where = f"{task}, {AT[at].split(' (')[0]}" if AT[at] else task
            note = results.significance(task, at).note()
            found += [f"{where}: {note}"] if note else []
    found += [BOLD] if found else []
    found += _recovery_notes(results) if recovery else []
    return found + footnotes(results)


def _recovery_notes(results: Results) -> list[str]:
    """Where there is no recovery, and where its interval (table.csv) rests on an assumption."""
    table = results.summary
    found = []
    for _, dense in table[(table["arm"] == DENSE_ARM) & (table["n"] > 0)].iterrows():
        arms = table[(table["arm"] != DENSE_ARM) & (table["task"] == dense["task"])]
        if pd.isna(dense["recovery"]):
            found.append(f"{dense['task']}: no recovery: dense is not above zero beyond chance.")
            continue
        if lower_is_better(str(dense["metric"])):
            found.append(
                f"{dense['task']}: in percent of dense is dense divided by the arm, as less of "
                f"{dense['metric']} is better."
            )
        if dense["n"] == 1 and (arms["n"] > 1).any():
            found.append(
                f"{dense['task']}: dense has one seed; in intervals of recovery (table.csv) its "
                "spread over seeds is taken to be the arm's."
            )
    return found


def heading(results: Results, before: str) -> list[str]:
    """Title of a suite's page, after some words of ours, and what the page is about."""
    loaded = results.plan.loaded
    named = [loaded.suite.name, loaded.profile, loaded.suite.model_name]
    suite, profile, model = (escape.code(name) for name in named)
    return [
        f"# {before}{escape.markdown(loaded.suite.title.strip())}",
        "",
        f"Suite {suite}, profile {profile}, model {model}.",
        "",
    ]


def _heading(results: Results, task: str) -> str:
    table = results.summary
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]
    part = results.data[results.data["task"] == task]
    trivial = dict.fromkeys(f"{value:.2f}" for value in sorted(part["trivial"].dropna()))
    known = f"; ignoring the input {' to '.join([*trivial][:: max(len(trivial) - 1, 1)])}"
    known = known if trivial else ""
    called, metric = escape.markdown(task), escape.markdown(in_words(str(part["metric"].iloc[0])))
    return f"**{called}**, {metric}: dense {score_text(dense.iloc[0])}{known}"


def latex(results: Results, *, recovery: bool = False) -> str:
    """The tables for a paper; see :mod:`smc_bench.report.tables.latex`."""
    levels = list(dict.fromkeys(results.summary["sparsity"]))
    heads = dict(zip(levels, headings(levels), strict=True))
    return for_paper(results, AT, heads, recovery=recovery)


def makers(results: Results, *, recovery: bool = False) -> dict[str, Make]:
    """What writes table.md, table.tex, table.csv (summary) and cells.csv (every cell)."""
    return {
        "table.md": lambda path: text(path, markdown(results, recovery=recovery)),
        "table.tex": lambda path: text(path, latex(results, recovery=recovery)),
        "table.csv": lambda path: text(path, escape.to_csv(results.summary)),
        "cells.csv": lambda path: text(path, escape.to_csv(results.data)),
    }


def write(results: Results, folder: Path, *, recovery: bool = False) -> list[Path]:
    """Write all of :func:`makers`; the first that can't be written is an error."""
    return write_all(folder, makers(results, recovery=recovery))
