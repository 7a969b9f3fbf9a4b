"""Comparison tables: arms down, sparsities across, as Markdown, LaTeX and CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from smc_bench.suite.expand import DENSE_ARM, Plan

_AT = {
    "": "",
    "scope_sparsity": "each arm at the sparsity of its own scope, as published",
    "encoder_sparsity": "at equal encoder sparsity",
    "model_sparsity": "at equal whole-model sparsity (x = as many zeros as x of the encoder)",
}


def summary(data: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and count over seeds of each arm at each sparsity."""
    keys = ["task", "metric", "compare_at", "arm", "sparsity"]
    grouped = data.groupby(keys, sort=False)
    table = grouped.agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        n=("value", "count"),
        of=("value", "size"),
        encoder_sparsity=("encoder_sparsity", "mean"),
        model_sparsity=("model_sparsity", "mean"),
        steps=("steps", "mean"),
    ).reset_index()
    dense = table[table["arm"] == DENSE_ARM].set_index("task")["mean"]
    table["recovery"] = 100.0 * table["mean"] / table["task"].map(dense)
    return table


def _text(row: pd.Series) -> str:
    if row["n"] == 0:
        return "-"
    text = f"{row['mean']:.2f}"
    if row["n"] > 1:
        text += f" ± {row['sd']:.2f}"
    return text if row["n"] == row["of"] else f"{text} ({row['n']:.0f}/{row['of']:.0f})"


def wide(table: pd.DataFrame, task: str, compare_at: str) -> pd.DataFrame:
    """One task's table: rows are arms, columns sparsities, cells mean ± sd over seeds."""
    part = table[
        (table["task"] == task) & (table["compare_at"] == compare_at) & (table["arm"] != DENSE_ARM)
    ]
    cells = {(row["arm"], f"{row['sparsity']:.4g}"): _text(row) for _, row in part.iterrows()}
    arms = list(dict.fromkeys(part["arm"]))
    columns = list(dict.fromkeys(f"{value:.4g}" for value in part["sparsity"]))
    body = [[cells.get((arm, column), "") for column in columns] for arm in arms]
    return pd.DataFrame(body, index=pd.Index(arms, name="arm \\ sparsity"), columns=columns)


def markdown(plan: Plan, data: pd.DataFrame, footnotes: list[str]) -> str:
    """The suite's tables with title, dense and trivial scores, and footnotes."""
    table = summary(data)
    lines = [f"# {plan.loaded.suite.title}", ""]
    lines += [
        f"Suite `{plan.loaded.suite.name}`, profile `{plan.loaded.profile}`, "
        f"model `{plan.loaded.suite.model}`.",
        "",
    ]
    for task in dict.fromkeys(data["task"]):
        part = data[data["task"] == task]
        metric = part["metric"].iloc[0]
        dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]
        dense_text = _text(dense.iloc[0])
        trivial = part["trivial"].dropna()
        known = f"; ignoring the input {trivial.iloc[0]:.2f}" if len(trivial) else ""
        lines += [f"**{task}**, {metric} in %: dense {dense_text}{known}", ""]
        for at in dict.fromkeys(part.loc[part["arm"] != DENSE_ARM, "compare_at"]):
            if _AT[at]:
                lines += [f"_{_AT[at]}_", ""]
            lines += [wide(table, task, at).to_markdown(disable_numparse=True), ""]
    lines += _footnotes(data, footnotes)
    return "\n".join(lines) + "\n"


def _footnotes(data: pd.DataFrame, footnotes: list[str]) -> list[str]:
    pending = int((data["state"] != "done").sum())
    found = [*footnotes]
    if pending:
        found.append(
            f"{pending} of {len(data)} cells have no result yet (shown as -, or n of N seeds)."
        )
    for component in ("embeddings", "encoder", "head"):
        gone = data[data[f"{component}_sparsity"].fillna(0.0) >= 0.9995]
        for arm, part in gone.groupby("arm", sort=False):
            levels = ", ".join(f"{value:.4g}" for value in dict.fromkeys(part["sparsity"]))
            found.append(
                f"{arm} at {levels}: all of the {component} is pruned, so the output can't depend "
                "on the input through it."
            )
    single = data[data["arm"] != DENSE_ARM]["seed"].nunique() == 1
    if single:
        found.append("One seed: no spread is known, so small differences mean nothing.")
    return [f"- {note}" for note in found]


def write(plan: Plan, data: pd.DataFrame, footnotes: list[str], folder: Path) -> list[Path]:
    """Write table.md, table.tex, table.csv (summary) and cells.csv (every cell)."""
    folder.mkdir(parents=True, exist_ok=True)
    table = summary(data)
    files = {name: folder / name for name in ("table.md", "table.tex", "table.csv", "cells.csv")}
    files["table.md"].write_text(markdown(plan, data, footnotes), encoding="utf-8")
    parts = []
    for task in dict.fromkeys(data["task"]):
        ats = dict.fromkeys(
            data.loc[(data["task"] == task) & (data["arm"] != DENSE_ARM), "compare_at"]
        )
        for at in ats:
            latex = wide(table, task, at).reset_index().to_latex(index=False, escape=True)
            parts.append(f"% {task} {_AT[at]}\n{latex}")
    files["table.tex"].write_text("\n".join(parts), encoding="utf-8")
    table.to_csv(files["table.csv"], index=False)
    data.to_csv(files["cells.csv"], index=False)
    return list(files.values())
