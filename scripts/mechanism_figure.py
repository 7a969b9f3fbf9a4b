"""A figure for `why_smc_collapses`: scores against the paths through the head that are left.

Part of `make reports`. Left of the gap: heads with no path.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from mechanism import Row

from smc_bench.report.figures import looks
from smc_bench.report.figures.looks import GREY, STYLE, WIDTHS, legend, styles
from smc_bench.report.outputs import Make

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_NONE = 0.15
"""Where no path stands on the logarithmic axis."""


def makers(rows: Sequence[Row]) -> dict[str, Make]:
    """What writes paths.png; nothing where no cell's paths are counted."""
    counted = [row for row in rows if row.paths is not None]
    return {"paths.png": looks.saving(lambda: paths_figure(counted))} if counted else {}


@mpl.rc_context(STYLE)
def paths_figure(rows: Sequence[Row]) -> Figure:
    """A panel a task, a point a cell; open markers are constant outputs."""
    tasks = list(dict.fromkeys(str(row.place[0]) for row in rows))
    looks_of = styles(list(dict.fromkeys(str(row.place[2]) for row in rows)))
    figure, grid = plt.subplots(
        1, len(tasks), figsize=(WIDTHS["two"], 2.6), squeeze=False, layout="constrained"
    )
    axes = list(grid.flat)
    for axis, task in zip(axes, tasks, strict=True):
        for arm, look in looks_of.items():
            mine = [row for row in rows if (row.place[0], row.place[2]) == (task, arm)]
            if not mine:
                continue
            axis.scatter(
                [row.paths or _NONE for row in mine],
                [float(row.place[5]) for row in mine],
                marker=look.marker,
                facecolors=["none" if row.constant else look.colour for row in mine],
                edgecolors=look.colour,
                linewidths=0.8,
                s=18,
                label=looks.label(arm),
            )
        axis.set_xscale("log")
        most = max(row.paths or 1 for row in rows)
        axis.set_xlim(_NONE / 2, 3 * most)
        axis.axvline(0.4, color=GREY, linestyle=":", linewidth=0.8)
        decades = [10**power for power in range(0, len(str(most)), 2)]
        axis.set_xticks([_NONE, *decades], ["none", *(f"{count:,}" for count in decades)])
        axis.set_xticks([], minor=True)
        axis.set_xlabel("paths of weights that are not zero through the head")
        axis.set_title(task)
    axes[0].set_ylabel("score (%); open: constant output")
    legend(figure, axes)
    return figure
