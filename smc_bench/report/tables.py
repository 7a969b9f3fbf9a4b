"""Comparison tables: arms down, sparsities across, as Markdown, LaTeX and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from smc_bench.report.compare import Place
from smc_bench.report.footnotes import footnotes
from smc_bench.report.results import Results
from smc_bench.report.separable import BOLD
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.suite.portable import shown_model

Style = Literal["markdown", "latex"]

AT = {
    "": "",
    "scope_sparsity": "each arm at the sparsity of its own scope, as published",
    "encoder_sparsity": "at equal encoder sparsity",
    "model_sparsity": "at equal whole-model sparsity (x = as many zeros as x of the encoder)",
}


def _text(row: pd.Series, *, recovery: bool = False) -> str:
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
        style: Markup of the best arm where it can be told apart.
    """
    table, separation = results.summary, results.separation(task, compare_at)
    part = table[
        (table["task"] == task) & (table["compare_at"] == compare_at) & (table["arm"] != DENSE_ARM)
    ]
    columns = list(dict.fromkeys(part["sparsity"]))
    best = {x: separation.best(Place(task, compare_at, round(x, 9))) for x in columns}
    cells: dict[tuple[str, float], str] = {}
    for _, row in part.iterrows():
        text = _text(row, recovery=recovery)
        bold = best[row["sparsity"]] == row["arm"]
        cells[row["arm"], row["sparsity"]] = _marked(text, bold=bold, style=style)
    arms = list(dict.fromkeys(part["arm"]))
    body = [[cells.get((arm, x), "") for x in columns] for arm in arms]
    names = [_marked(str(arm), bold=False, style=style) for arm in arms]
    index = pd.Index(names, name="arm \\ sparsity" if style == "markdown" else "arm")
    return pd.DataFrame(body, index=index, columns=[f"{x:.4g}" for x in columns])


_LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$"} | {c: f"\\{c}" for c in "&%$#_{}"}


def _marked(text: str, *, bold: bool, style: Style) -> str:
    if style == "latex":
        text = "".join(_LATEX.get(character, character) for character in text)
        return f"\\textbf{{{text}}}" if bold else text
    return f"**{text}**" if bold else text


def markdown(results: Results, *, recovery: bool = False) -> str:
    """The suite's tables with title, dense and trivial scores, and footnotes."""
    loaded = results.plan.loaded
    lines = [f"# {loaded.suite.title}", ""]
    lines += [
        f"Suite `{loaded.suite.name}`, profile `{loaded.profile}`, "
        f"model `{shown_model(loaded.suite.model)}`.",
        "",
    ]
    notes: list[str] = []
    for task in results.tasks:
        lines += [_heading(results, task), ""]
        for at in results.ways(task):
            if AT[at]:
                lines += [f"_{AT[at]}_", ""]
            found = wide(results, task, at, recovery=recovery)
            lines += [found.to_markdown(disable_numparse=True), ""]
            where = f"{task}, {AT[at].split(' (')[0]}" if AT[at] else task
            note = results.separation(task, at).note()
            notes += [f"{where}: {note}"] if note else []
    notes += [BOLD] if notes else []
    lines += [f"- {note}" for note in [*notes, *footnotes(results)]]
    return "\n".join(lines) + "\n"


def _heading(results: Results, task: str) -> str:
    table = results.summary
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]
    part = results.data[results.data["task"] == task]
    trivial = part["trivial"].dropna()
    known = f"; ignoring the input {trivial.iloc[0]:.2f}" if len(trivial) else ""
    return f"**{task}**, {part['metric'].iloc[0]} in %: dense {_text(dense.iloc[0])}{known}"


def write(results: Results, folder: Path, *, recovery: bool = False) -> list[Path]:
    """Write table.md, table.tex, table.csv (summary) and cells.csv (every cell)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("table.md", "table.tex", "table.csv", "cells.csv")}
    files["table.md"].write_text(markdown(results, recovery=recovery), encoding="utf-8")
    parts = []
    for task in results.tasks:
        for at in results.ways(task):
            found = wide(results, task, at, recovery=recovery, style="latex").reset_index()
            parts.append(f"% {task} {AT[at]}\n{found.to_latex(index=False, escape=False)}")
    files["table.tex"].write_text("\n".join(parts), encoding="utf-8")
    results.summary.to_csv(files["table.csv"], index=False)
    results.data.to_csv(files["cells.csv"], index=False)
    return list(files.values())
