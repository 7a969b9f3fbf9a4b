"""A teacher's distributions softened with temperatures: a table, a figure, and both as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smc_bench.report.escape import markdown, to_csv
from smc_bench.report.figures.looks import COLOURS, WIDTHS, legend, saving
from smc_bench.report.outputs import Make, text, write_all

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Logits = Sequence[tuple[NDArray[np.float32], ...]]
Distribution = NDArray[np.float64]

# Shown are the sequences at these quantiles of entropy at temperature 1: sure, usual, unsure.
QUANTILES = (0.1, 0.5, 0.9)
AROUND = 8
"""Positions shown on either side of the likeliest."""


def soften(logits: NDArray[np.float32], temperature: float) -> Distribution:
    """softmax(logits / T) in float64 (arXiv 1503.02531, section 2)."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    return np.asarray(powers / powers.sum())


def entropy(probabilities: Distribution) -> float:
    """Entropy in nats; 0 log 0 is 0."""
    seen = probabilities[probabilities > 0.0]
    return float(-(seen * np.log(seen)).sum())


@dataclass(frozen=True)
class Softened:
    """A teacher's logits on some sequences of one task, one array a head."""

    task: str
    logits: Logits

    @property
    def heads(self) -> tuple[str, ...]:
        """What each head says."""
        return ("start", "end") if len(self.logits[0]) == 2 else ("label",)

    def statistics(self, temperatures: Sequence[float]) -> pd.DataFrame:
        """A row a sequence, head and temperature: entropy (nats), mass of the likeliest (0..1)."""
        rows = []
        for temperature in temperatures:
            for number, heads in enumerate(self.logits):
                for head, logits in zip(self.heads, heads, strict=True):
                    mass = soften(logits, temperature)
                    rows.append(
                        {
                            "task": self.task,
                            "sequence": number,
                            "head": head,
                            "temperature": temperature,
                            "choices": len(mass),
                            "entropy": entropy(mass),
                            "top1": float(mass.max()),
                        }
                    )
        return pd.DataFrame(rows)

    def chosen(self) -> list[int]:
        """Sequences at :data:`QUANTILES` of the mean entropy over heads at temperature 1."""
        means = [float(np.mean([entropy(soften(x, 1.0)) for x in heads])) for heads in self.logits]
        order = np.argsort(means, kind="stable")
        return [int(order[round(q * (len(order) - 1))]) for q in QUANTILES]

    def markdown(self, temperatures: Sequence[float]) -> str:
        """Means, and 10th to 90th percentile, over all sequences."""
        lines = []
        for (head, temperature), part in self.statistics(temperatures).groupby(
            ["head", "temperature"], sort=False
        ):
            flat = float(np.log(part["choices"]).mean())
            lines.append(
                [head, f"{temperature:g}", *(_spread(part[k], d) for k, d in _SHOWN), f"{flat:.2f}"]
            )
        columns = ["head", "T", "entropy (nats)", "mass of the likeliest", "entropy if all alike"]
        table = pd.DataFrame(lines, columns=columns).to_markdown(index=False, disable_numparse=True)
        return (
            f"**{markdown(self.task)}**, the teacher on {len(self.logits)} training sequences: "
            f"mean (10th to 90th percentile)\n\n{table}\n"
        )

    def draw(self, temperatures: Sequence[float], folder: Path) -> list[Path]:
        """Write all of :meth:`makers`; the first that can't be written is an error."""
        return write_all(folder, self.makers(temperatures))

    def makers(self, temperatures: Sequence[float]) -> dict[str, Make]:
        """What writes statistics, the shown distributions, and the figure as PNG and PDF."""
        stem = f"temperatures_{self.task}"
        save = saving(lambda: self._figure(temperatures))
        return {
            f"{stem}.csv": lambda path: _csv(path, self.statistics(temperatures)),
            f"{stem}_shown.csv": lambda path: _csv(path, self._distributions(temperatures)),
            f"{stem}.png": save,
            f"{stem}.pdf": save,
        }

    def _distributions(self, temperatures: Sequence[float]) -> pd.DataFrame:
        parts = []
        for number in self.chosen():
            for head, logits in zip(self.heads, self.logits[number], strict=True):
                for temperature in temperatures:
                    mass = soften(logits, temperature)
                    part = pd.DataFrame({"position": range(len(mass)), "probability": mass})
                    parts.append(part.assign(sequence=number, head=head, temperature=temperature))
        return pd.concat(parts)[["sequence", "head", "temperature", "position", "probability"]]

    def _figure(self, temperatures: Sequence[float]) -> Figure:
        numbers, count = self.chosen(), len(self.heads)
        size = (WIDTHS["two"], 1.5 * len(numbers) + 1.9)
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(len(numbers) + 1, 2, height_ratios=[1.0] * len(numbers) + [1.2])
        axes = []
        for row, (number, quantile) in enumerate(zip(numbers, QUANTILES, strict=True)):
            for column, head in enumerate(self.heads):
                place = grid[row, column] if count == 2 else grid[row, :]
                axes.append(figure.add_subplot(place))
                _bars(axes[-1], self.logits[number][column], temperatures)
                axes[-1].set_title(f"{head}, entropy at its {100 * quantile:.0f}th percentile")
        below = self.statistics(temperatures)
        for column, (key, label) in enumerate((("entropy", "entropy (nats)"), ("top1", _TOP1))):
            axis = figure.add_subplot(grid[len(numbers), column])
            values = [below.loc[below["temperature"] == t, key] for t in temperatures]
            axis.boxplot(values, whis=(10, 90), showfliers=False, medianprops={"color": "black"})
            axis.set_xticks(range(1, len(values) + 1), [f"{t:g}" for t in temperatures])
            axis.set_xlabel(f"temperature ({len(self.logits)} sequences)")
            axis.set_ylabel(label)
        legend(figure, axes)
        return figure


def _csv(path: Path, table: pd.DataFrame) -> None:
    text(path, to_csv(table))


_TOP1 = "mass of the likeliest"
_SHOWN = (("entropy", 2), ("top1", 3))


def _spread(values: pd.Series, digits: int) -> str:
    low, high = values.quantile(0.1), values.quantile(0.9)
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _bars(axis: Axes, logits: NDArray[np.float32], temperatures: Sequence[float]) -> None:
    """Probabilities around the likeliest position, a colour for each temperature."""
    top = int(logits.argmax())
    low, high = max(0, top - AROUND), min(len(logits), top + AROUND + 1)
    width = 0.8 / len(temperatures)
    for index, temperature in enumerate(temperatures):
        shift = (index - (len(temperatures) - 1) / 2.0) * width
        axis.bar(
            np.arange(low, high) + shift,
            soften(logits, temperature)[low:high],
            width=width,
            color=COLOURS[index % len(COLOURS)],
            label=f"T = {temperature:g}",
        )
    axis.set_xlabel("position" if len(logits) > 2 * AROUND else "label")
    axis.set_ylabel("probability")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
