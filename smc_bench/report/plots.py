"""Accuracy against sparsity: one panel a task, one line an arm, dense and trivial lines."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd

from smc_bench.report.tables import summary
from smc_bench.suite.expand import DENSE_ARM, Plan

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart with every common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LABEL = {
    "sparsity": "target sparsity",
    "scope_sparsity": "measured sparsity of each arm's scope",
    "encoder_sparsity": "measured encoder sparsity",
    "model_sparsity": "measured whole-model sparsity",
}


def draw(plan: Plan, data: pd.DataFrame, folder: Path) -> list[Path]:
    """Write plot.png and plot.pdf; a panel for each task and way of comparing."""
    layout = plan.loaded.suite.report.plot
    table = summary(data)
    panels = _panels(data)
    width = 4.2 * len(panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(width, 3.4), squeeze=False)
    for axis, (task, at) in zip(axes[0], panels, strict=True):
        x = at or layout.x
        _panel(axis, table, data, task, at, x)
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.suptitle(plan.loaded.suite.title, fontsize=11)
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "plot.png", folder / "plot.pdf"]
    for path in paths:
        figure.savefig(path, dpi=200)
    plt.close(figure)
    return paths


def _panels(data: pd.DataFrame) -> list[tuple[str, str]]:
    pruned = data[data["arm"] != DENSE_ARM]
    return list(dict.fromkeys(zip(pruned["task"], pruned["compare_at"], strict=True)))


def _panel(axis: Axes, table: pd.DataFrame, data: pd.DataFrame, task: str, at: str, x: str) -> None:
    part = table[
        (table["task"] == task) & (table["compare_at"] == at) & (table["arm"] != DENSE_ARM)
    ]
    for index, arm in enumerate(dict.fromkeys(part["arm"])):
        line = part[(part["arm"] == arm) & part["mean"].notna()].sort_values(x)
        axis.errorbar(
            line[x],
            line["mean"],
            yerr=line["sd"] if line["sd"].notna().any() else None,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            capsize=2,
            label=arm,
        )
    dense = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]["mean"].dropna()
    if len(dense):
        axis.axhline(dense.iloc[0], color="0.4", linestyle="--", linewidth=1, label="dense")
    trivial = data.loc[data["task"] == task, "trivial"].dropna()
    if len(trivial):
        axis.axhline(
            trivial.iloc[0], color="0.6", linestyle=":", linewidth=1, label="ignoring the input"
        )
    metric = data.loc[data["task"] == task, "metric"].iloc[0]
    axis.set_xlabel(_LABEL[x])
    axis.set_ylabel(f"{metric} (%)")
    axis.set_title(task, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
