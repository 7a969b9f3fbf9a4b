"""What was measured of a suite's cells, as tidy frames: sizes, and times by machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smc_bench.engine.pruning.latency import SpeedTarget
from smc_bench.errors import SmcBenchError
from smc_bench.report.data.results import Results
from smc_bench.store.measured import Measured, Speed, read_measured
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.expand import DENSE_ARM

PLACE = ["task", "compare_at", "arm", "sparsity"]
SIZES = ("parameters", "encoder_parameters", "encoder_macs", "gzip_bytes")
BUSY = 0.5
"""Load average from which on somebody else was at work."""

MACHINE = ["processor", "cores", "threads"]
SHAPE = ["engine", "version", "batch", "length", "shrunk"]


@dataclass(frozen=True)
class Measurements:
    """Measurements of a plan's finished cells.

    Attributes:
        sizes: A row a cell: its place, seed, sizes, the length that MACs are of, and the same sizes
            of its architecture with nothing removed (``dense_…``).
        times: A row a cell, machine, engine and shape, with medians over rounds; ``round_ms`` and
            ``round_ratios`` hold those of each round. ``predicted`` is the speed-up by the table of
            latencies that the cell was pruned by.
        problems: Files that can't be believed, for people.
    """

    sizes: pd.DataFrame
    times: pd.DataFrame
    problems: tuple[str, ...]

    @property
    def anything(self) -> bool:
        """Whether a cell was measured."""
        return not self.sizes.empty


def measurements(results: Results, store: Store) -> Measurements:
    """Read what was measured of all cells that have a result."""
    sizes: list[dict[str, object]] = []
    times: list[dict[str, object]] = []
    problems: list[str] = []
    for _, row in results.data.iterrows():
        record = results.records.get(str(row["cell"]))
        if record is None or pd.isna(row["value"]):
            continue
        cell = results.plan.cells[str(row["cell"])]
        folder, target = store.folder(cell.folder).path, cell.recipe.target
        try:
            found = read_measured(folder, record.cell_id, record.weights_sha256)
        except SmcBenchError as error:
            problems.append(str(error))
            continue
        if found is not None:
            kept = ("seed", "cell", "metric", "value")
            place: dict[str, object] = {str(key): row[key] for key in (*PLACE, *kept)}
            sizes.append({**place, **_sizes(found)})
            times += [
                {**place, **_times(speed), "predicted": _predicted(record, target, speed)}
                for speed in found.speeds
            ]
    columns = [*PLACE, "seed", "cell", "metric", "value"]
    return Measurements(
        pd.DataFrame(sizes, columns=None if sizes else columns),
        pd.DataFrame(times, columns=None if times else [*columns, *MACHINE, *SHAPE]),
        tuple(dict.fromkeys(problems)),
    )


def _sizes(found: Measured) -> dict[str, object]:
    own = {key: getattr(found.size, key) for key in SIZES}
    dense = {f"dense_{key}": getattr(found.dense, key) for key in SIZES}
    return {**own, **dense, "length": found.size.length}


def _times(speed: Speed) -> dict[str, object]:
    ratios = ratio(speed.dense_ms, speed.ms)
    cpu = [r for r in ratio(speed.dense_cpu_ms, speed.cpu_ms) if np.isfinite(r)]
    middle = float(np.median(speed.ms))
    return {
        **speed.machine.model_dump(),
        **{key: getattr(speed, key) for key in SHAPE},
        "ms": middle,
        "sequences_per_second": 1e3 * speed.batch / middle,
        "speedup": float(np.median(ratios)),
        "cpu_speedup": float(np.median(cpu)) if cpu else float("nan"),
        "round_ms": list(speed.ms),
        "round_ratios": ratios,
        "load": speed.load,
        "busy": speed.load > BUSY,
    }


def _predicted(record: Record, target: SpeedTarget | None, speed: Speed) -> float:
    """Speed-up that the cell's table of latencies predicts, where this is what it is a table of.

    Not a number for other engines, shapes, threads and processors.
    """
    if record.predicted is None or target is None or not target.known:
        return float("nan")
    table, machine = target.measured, speed.machine
    asked = (table.engine, table.batch, table.length, table.threads, table.processor)
    timed = (speed.engine, speed.batch, speed.length, machine.threads, machine.processor)
    return record.predicted.speedup if asked == timed and speed.shrunk else float("nan")


def ratio(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """How many times as fast, round by round; infinite where no time was seen to pass."""
    pairs = zip(slow, fast, strict=False)
    return [a / b if b > 0 else float("inf") for a, b in pairs]


def by_arm(times: pd.DataFrame) -> pd.DataFrame:
    """Times over seeds: medians and quartiles of all their rounds, and the mean score."""
    keys = [*PLACE, *MACHINE, *SHAPE]
    rows = []
    for key, part in times.groupby(keys, sort=False):
        ms = np.concatenate([np.asarray(one, float) for one in part["round_ms"]])
        ratios = np.concatenate([np.asarray(one, float) for one in part["round_ratios"]])
        low, middle, high = np.percentile(ms, [25, 50, 75])
        assert isinstance(key, tuple)
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "metric": part["metric"].iloc[0],
                "seeds": len(part),
                "value": float(part["value"].mean()),
                "ms": middle,
                "ms_low": low,
                "ms_high": high,
                "speedup": float(np.median(ratios)),
                "speedup_low": float(ratios.min()),
                "speedup_high": float(ratios.max()),
                "cpu_speedup": float(part["cpu_speedup"].median()),
                "predicted": float(part["predicted"].mean()),
                "busy": bool(part["busy"].any()),
            }
        )
    return pd.DataFrame(rows)


def dense_score(results: Results, task: str) -> float:
    """Mean score of a task's dense arm; not a number where it has none."""
    table = results.summary
    found = table[(table["task"] == task) & (table["arm"] == DENSE_ARM)]["mean"]
    return float(found.iloc[0]) if len(found) else float("nan")
