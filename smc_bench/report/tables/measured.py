"""Tables of what was measured: sizes once, times by machine, never two machines in one table."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from smc_bench.report import escape
from smc_bench.report.data.measured import MACHINE, PLACE, SIZES, Measurements, by_arm
from smc_bench.report.data.results import Results
from smc_bench.report.tables.tables import heading

_NOTES = (
    "Each model was timed beside the same architecture with nothing removed, in turns; "
    "times as fast: median over rounds of ratios inside a round [least to most].",
    "ms: wall clock of a forward pass, median over rounds and seeds [quartiles]. "
    "CPU: the same ratio in CPU time, which other processes disturb less.",
    "Zeros that are not whole heads or neurons are run as weights by all three engines.",
)
_PREDICTED = (
    "Predicted: times as fast by the table of latencies that the model was pruned by (a target in "
    "speed), where that is of this processor, engine and shape."
)
_BUSY = "* the machine had other work when it began."


def markdown(results: Results, measured: Measurements) -> str:
    """All tables, with what they rest on; says so where nothing was measured."""
    lines = heading(results, "Measured: ")
    predicted = measured.anything and _has_predicted(measured.times)
    if not measured.anything:
        return "\n".join([*lines, "Nothing was measured yet: smc-bench measure CELL_ID."]) + "\n"
    for task in results.tasks:
        mine = measured.sizes[measured.sizes["task"] == task]
        if mine.empty:
            continue
        lines += [f"**{escape.markdown(task)}**, sizes of the models as timed", ""]
        lines += [*_sizes(mine), ""]
        lines += _times(by_arm(measured.times[measured.times["task"] == task]), task)
    notes = [*_NOTES, *([_PREDICTED] if predicted else [])]
    return "\n".join([*lines, *(f"- {note}" for note in notes)]) + "\n"


def _sizes(table: pd.DataFrame) -> Iterator[str]:
    several = table["compare_at"].nunique() > 1
    yield (
        "| arm | sparsity | parameters | of the encoder | encoder MACs | gzip | seeds |\n"
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for key, part in table.groupby([*PLACE, "length"], sort=False):
        assert isinstance(key, tuple)
        _, at, arm, sparsity, length = key
        shown = [_of_dense(part, size) for size in SIZES]
        shown[2] += f" at {length}"
        yield _row(
            _named(str(arm), str(at), several=several), f"{sparsity:.4g}", *shown, str(len(part))
        )


def _of_dense(part: pd.DataFrame, size: str) -> str:
    mean = part[size].mean()
    share = 100 * (part[size] / part[f"dense_{size}"]).mean()
    unit = " MB" if size == "gzip_bytes" else " M"
    return f"{mean / 1e6:,.2f}{unit} ({share:.0f} %)"


def _times(table: pd.DataFrame, task: str) -> Iterator[str]:
    if table.empty:
        return
    several = table["compare_at"].nunique() > 1
    for machine, part in table.groupby(MACHINE, sort=False):
        assert isinstance(machine, tuple)
        processor, cores, threads = machine
        of = f"{threads} thread{'s' * (threads != 1)} of {cores} cores"
        yield f"**{escape.markdown(task)}**, times on {escape.markdown(str(processor))}, {of}"
        yield ""
        predicted = _has_predicted(part)
        yield _row(*_TIMES, *(["predicted"] if predicted else []), "score")
        yield _row(
            *(":---" if name in ("arm", "engine") else "---:" for name in _TIMES),
            *(["---:"] * (1 + predicted)),
        )
        for _, row in part.iterrows():
            yield _row(*_time_cells(row, several=several, predicted=predicted))
        yield ""
        if bool(part["busy"].any()):
            yield f"{_BUSY}\n"


_TIMES = ("arm", "sparsity", "engine", "batch", "ms", "sequences/s", "times as fast", "CPU")


def _has_predicted(times: pd.DataFrame) -> bool:
    return bool(len(times)) and bool(times["predicted"].notna().any())


def _time_cells(row: pd.Series, *, several: bool, predicted: bool) -> Iterator[str]:
    yield _named(str(row["arm"]), str(row["compare_at"]), several=several)
    yield f"{row['sparsity']:.4g}"
    yield f"{row['engine']} {row['version']}{'' if row['shrunk'] else ', as zeros'}"
    yield f"{row['batch']} x {row['length']}"
    yield f"{row['ms']:.1f} [{row['ms_low']:.1f}-{row['ms_high']:.1f}]{'*' * bool(row['busy'])}"
    yield f"{1e3 * row['batch'] / row['ms']:.1f}"
    yield f"{row['speedup']:.2f} [{row['speedup_low']:.2f}-{row['speedup_high']:.2f}]"
    yield "-" if pd.isna(row["cpu_speedup"]) else f"{row['cpu_speedup']:.2f}"
    if predicted:
        yield "-" if pd.isna(row["predicted"]) else f"{row['predicted']:.2f}"
    yield f"{row['value']:.2f}"


def _named(arm: str, at: str, *, several: bool) -> str:
    return escape.markdown(f"{arm} ({at})" if several and at else arm)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
