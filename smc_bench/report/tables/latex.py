r"""Comparison tables for a paper: LaTeX with booktabs, numbers aligned by siunitx (3 or later).

Each table floats, with caption and label. Dense and the answer that ignores the input stand below
the arms, then how many parameters are not zero, in millions, as papers give sizes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from smc_bench.report import escape
from smc_bench.report.statistics.compare import Place
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.tasks.directions import in_words

if TYPE_CHECKING:
    from smc_bench.report.data.results import Results

PREAMBLE = r"\usepackage{booktabs}", r"\usepackage{siunitx}"
"""What a document needs to set the tables."""

_SETUP = r"\sisetup{text-series-to-math, propagate-math-font}"


def latex(
    results: Results, where: dict[str, str], heads: dict[float, str], *, recovery: bool = False
) -> str:
    """All tables of a suite, one for each task and way of comparing.

    Args:
        results: The suite's finished cells.
        where: What the ways of comparing are called.
        heads: What each sparsity is called at the head of a column.
        recovery: Add the percentage of the dense score.
    """
    tables = [
        _table(results, task, at, where[at], heads, recovery=recovery)
        for task in results.tasks
        for at in results.ways(task)
    ]
    needs = escape.latex_comment(f"Needs {' '.join(PREAMBLE)} in the preamble (siunitx 3 or later)")
    return "\n".join([needs, *tables])


def _table(
    results: Results, task: str, at: str, where: str, heads: dict[float, str], *, recovery: bool
) -> str:
    table, significance = results.summary, results.significance(task, at)
    part = table[
        (table["task"] == task) & (table["compare_at"] == at) & (table["arm"] != DENSE_ARM)
    ]
    levels = list(dict.fromkeys(part["sparsity"]))
    arms = list(dict.fromkeys(part["arm"]))
    columns = [
        _column(
            part[part["sparsity"] == x].set_index("arm", drop=False).reindex(arms),
            significance.best(Place(task, at, x)),
            recovery=recovery,
        )
        for x in levels
    ]
    rows = [
        [escape.latex(str(arm)), *scores]
        for arm, *scores in zip(arms, *(scores for _, scores in columns), strict=True)
    ]
    count = len(levels)
    lines = [
        r"\begin{table}",
        r"\centering",
        _SETUP,
        rf"\caption{{{_caption(results, task, where)}}}",
        rf"\label{{{_label(results, task, at)}}}",
        rf"\begin{{tabular}}{{l{''.join(kind for kind, _ in columns)}}}",
        r"\toprule",
        rf"& \multicolumn{{{count}}}{{c}}{{sparsity}} \\",
        rf"\cmidrule(lr){{2-{count + 1}}}",
        _row(["arm", *(f"{{{heads[x]}}}" for x in levels)]),
        r"\midrule",
        *map(_row, rows),
        r"\midrule",
        *_references(results, task, count),
        _row([r"parameters $\neq 0$ (millions)", *(f"{{{_size(part, x)}}}" for x in levels)]),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(fields: Sequence[str]) -> str:
    return " & ".join(fields) + r" \\"


def _caption(results: Results, task: str, where: str) -> str:
    loaded = results.plan.loaded
    metric = in_words(results.scores.metric[task], " in percent").replace("_", " ")
    spread = "mean and standard deviation over seeds" if (results.summary["n"] > 1).any() else ""
    said = [f"{task}{', ' + where if where else ''}: {metric}", spread]
    text = ", ".join(part for part in said if part)
    about = f"{loaded.suite.title.strip()} ({loaded.suite.model_name}, profile {loaded.profile})."
    return escape.latex(
        f"{about} {text}. Bold: no other arm of the column is better beyond chance."
    )


def _label(results: Results, task: str, at: str) -> str:
    """A key of plain letters, which is never typeset."""
    suite = results.plan.loaded.suite.name
    named = "-".join(part for part in (suite, task, at) if part)
    return "tab:" + re.sub(r"[^A-Za-z0-9]+", "-", named).strip("-")


def _number(row: pd.Series, after: str, *, bold: bool) -> str:
    """A score for a column of siunitx: text stands in braces."""
    if not row["n"] > 0:
        return "{--}" if row["n"] == 0 else ""  # not finished, or no such cell
    text = f"{row['mean']:.2f}" + (f" {{{after}}}" if after else "")
    return rf"\bfseries {text}" if bold else text


def _column(rows: pd.DataFrame, best: frozenset[str], *, recovery: bool) -> tuple[str, list[str]]:
    """A column's type, which sets aside room for digits and text, and its scores."""
    means = [mean for mean in rows["mean"] if math.isfinite(mean)]
    sign = "-" if any(mean < 0.0 for mean in means) else ""
    widest = _whole([sd for sd in rows["sd"] if math.isfinite(sd)])
    afters = [_after(row, widest, recovery=recovery) for _, row in rows.iterrows()]
    room = max(afters, key=len, default="")
    kind = f"table-format={sign}{_whole(means)}.2"
    kind += f", table-space-text-post={{{room}}}" if room else ""
    both = zip(rows.iterrows(), afters, strict=True)
    scores = [_number(row, after, bold=row["arm"] in best) for (_, row), after in both]
    return f"S[{kind}]", scores


def _after(row: pd.Series, widest: int, *, recovery: bool) -> str:
    """What stands behind a score: sd, percent of dense, finished seeds of those planned."""
    if not row["n"] > 0:
        return ""
    said = []
    if row["n"] > 1:
        sd = f"{row['sd']:.2f}"
        blank = "0" * (widest + 3 - len(sd))
        pad = rf"\phantom{{{blank}}}" if blank else ""
        said.append(rf"$\pm$\,{pad}{sd}")
    if recovery and pd.notna(row["recovery"]):
        said.append(rf"({row['recovery']:.1f}\,\%)")
    if row["n"] != row["of"]:
        said.append(f"({row['n']:.0f}/{row['of']:.0f})")
    return r"\," + r"\,".join(said) if said else ""


def _whole(values: Sequence[float]) -> int:
    """Most digits before the point."""
    return max((len(f"{abs(value):.2f}") - 3 for value in values), default=2)


def _references(results: Results, task: str, columns: int) -> list[str]:
    table = results.summary
    rows = []
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM) & (table["n"] > 0)]
    if len(dense):
        row = dense.iloc[0]
        sd = rf"\,$\pm$\,\num{{{row['sd']:.2f}}}" if row["n"] > 1 else ""
        rows.append((escape.latex(DENSE_ARM), rf"\num{{{row['mean']:.2f}}}{sd}"))
    trivial = results.data.loc[results.data["task"] == task, "trivial"].dropna()
    if len(trivial):
        ends = dict.fromkeys(rf"\num{{{value:.2f}}}" for value in (trivial.min(), trivial.max()))
        rows.append(("ignoring the input", " to ".join(ends)))
    return [_row([name, rf"\multicolumn{{{columns}}}{{c}}{{{text}}}"]) for name, text in rows]


def _size(rows: pd.DataFrame, level: float) -> str:
    sizes = rows.loc[rows["sparsity"] == level, "size_millions"].dropna()
    if not len(sizes):
        return "--"
    ends = dict.fromkeys(rf"\num{{{value:.3g}}}" for value in (sizes.min(), sizes.max()))
    return "--".join(ends)
