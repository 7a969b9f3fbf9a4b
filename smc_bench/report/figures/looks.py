"""How figures look: sizes, type, colours and markers of arms, and the legend below the panels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from smc_bench.report.outputs import Make

Width = Literal["one", "two"]

# Inches: one and two columns of the usual two-column conference page.
WIDTHS: dict[Width, float] = {"one": 3.25, "two": 6.75}

# Okabe and Ito's palette (without its yellow, too light for lines): told apart with every common
# colour blindness. Markers differ as well, for print without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PUBLISHED = (*MARKERS, "<", ">", "p", "h", "*")
GREY = "0.35"

# A second and a third round of colours are told apart by the line as well. (Plain dashes are for
# published numbers, plain dots for the score that ignores the input.)
LINES: tuple[Any, ...] = ("-", (0, (4, 1, 1, 1)), (0, (2, 1, 1, 1, 1, 1)))

# These arms look the same in every figure; other arms take what is left, in the suite's order.
FIXED = {
    "guidelines": 0,
    "encoder only": 0,
    "smc": 1,
    "SMC setting": 1,
    "everything": 1,
    "GMP (SMC)": 1,
    "guidelines, GMP": 0,
    "guidelines, oBERT": 5,
    "smc-same-steps": 4,
}

# Names are text, not formulas; and no TeX, whatever the user's own settings are.
PLAIN: Any = {"text.parse_math": False, "text.usetex": False}

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType: text stays text, as publishers ask
    "savefig.dpi": 200,
} | PLAIN

# Inches of a legend's row, letter (7 points high, about half as wide) and handle.
_ROW, _LETTER, _HANDLE = 0.16, 0.055, 0.6


class Look(NamedTuple):
    """What tells an arm from the others."""

    colour: str
    marker: str
    line: Any


def styles(arms: Sequence[str]) -> dict[str, Look]:
    """Look of each arm: fixed by name where known and not taken, else the first that is free."""
    count = len(COLOURS)
    # Once the colours are used up they come again with the next marker and another line.
    looks = [
        Look(COLOURS[k % count], MARKERS[(k + k // count) % count], LINES[k // count % 3])
        for k in range(count**2)
    ]
    owners: dict[int, str] = {}
    for arm in arms:
        if arm in FIXED:  # of two arms with one look, the first has it
            owners.setdefault(FIXED[arm], arm)
    fixed = {arm: looks[index] for index, arm in owners.items()}
    free = cycle(look for index, look in enumerate(looks) if index not in owners)
    return {arm: fixed[arm] if arm in fixed else next(free) for arm in arms}


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend below all panels; the figure grows by its height."""
    # A line and an arm (with its intervals) of one name are two things.
    found: dict[tuple[bool, str], Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault((isinstance(handle, Line2D), named(label)), handle)
    if not found:
        return
    # Arms first, then the lines they are read against.
    keys = sorted(found, key=lambda key: key[0])
    labels = [label for _, label in keys]
    width, height = figure.get_size_inches()
    columns = fitting([_LETTER * len(label) + _HANDLE for label in labels], width)
    figure.set_size_inches(width, height + _ROW * math.ceil(len(labels) / columns))
    below = figure.legend(
        [found[key] for key in keys],
        [str(number) for number in range(len(labels))],
        loc="outside lower center",
        ncols=columns,
        handlelength=3.0,
        frameon=False,
    )
    for text, label in zip(below.get_texts(), labels, strict=True):
        text.set_text(label)


_SHOW = "\u2060"  # word joiner: no name holds it


def label(name: str) -> str:
    """The label of something drawn. Matplotlib leaves out what begins with an underscore."""
    return f"{_SHOW}{name}" if name.startswith("_") else name


def named(label: str) -> str:
    """The name that :func:`label` made a label of."""
    return label.removeprefix(_SHOW)


def saving(draw: Callable[[], Figure], style: Any = STYLE, **how: Any) -> Make:
    """What writes a figure to a file: drawn when first needed, then kept for other formats."""
    drawn = cache(draw)

    def save(path: Path) -> None:
        from matplotlib import pyplot as plt

        with mpl.rc_context(style), warnings.catch_warnings():
            # A sign that no font here has is drawn as a box: a report is no place for warnings.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure = drawn()
            plt.close(figure)  # pyplot forgets it; it can still be saved
            figure.savefig(path, **how)

    return save


def fitting(widths: Sequence[float], room: float) -> int:
    """Most columns, filled from the top, that these entries have room for side by side."""
    for columns in range(len(widths), 1, -1):
        rows = math.ceil(len(widths) / columns)
        filled = [widths[at : at + rows] for at in range(0, len(widths), rows)]
        if len(filled) == columns and sum(map(max, filled)) <= room:
            return columns
    return 1
