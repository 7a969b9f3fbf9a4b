"""Comparisons of a claim at equal measured speed, machine by machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from smc_bench.report.data.measured import MACHINE, Measurements
from smc_bench.report.data.results import Results
from smc_bench.report.statistics.at_speed import Curve, compare_at_speed
from smc_bench.report.statistics.compare import Comparison, Place
from smc_bench.suite.claims import Claim
from smc_bench.tasks.directions import lower_is_better

_WHERE = [*MACHINE, "version", "shrunk"]


def speed_comparisons(
    claim: Claim, results: Results, measured: Measurements
) -> Iterator[tuple[str, list[Comparison]]]:
    """For each machine (and version of the engine): its name, and all comparisons of a claim.

    Times of two machines never meet in one comparison.
    """
    speed, times = claim.speed, measured.times
    if speed is None or times.empty:
        return
    arms = {claim.arm, *claim.against}
    mine = times[
        (times["engine"] == speed.engine)
        & (times["batch"] == speed.batch)
        & (times["length"] == speed.length)
        & times["arm"].isin(arms)
        & times["sparsity"].map(claim.sparsity.holds)
    ]
    for key, part in mine.groupby(_WHERE, sort=False):
        assert isinstance(key, tuple)
        busy = "; the machine had other work" if bool(part["busy"].any()) else ""
        yield _name(claim, key) + busy, list(_comparisons(claim, results, part))


def _name(claim: Claim, key: tuple[object, ...]) -> str:
    assert claim.speed is not None
    processor, _, threads, version, shrunk = key
    zeros = "" if shrunk else ", zeros run"
    plural = "" if threads == 1 else "s"
    shape = f"{claim.speed.batch} x {claim.speed.length}, {threads} thread{plural}"
    return f"{claim.speed.engine} {version}{zeros}, {shape}, {processor}"


def _comparisons(claim: Claim, results: Results, times: pd.DataFrame) -> Iterator[Comparison]:
    assert claim.speed is not None
    for task in results.tasks:
        of_task = times[times["task"] == task]
        for at in results.ways(task):
            part = of_task[of_task["compare_at"] == at]
            curves = {arm: _curve(arm, at, part, results) for arm in (claim.arm, *claim.against)}
            for speedup in claim.speed.speedups:
                place = Place(task, at, 0.0, speedup)
                for other in claim.against:
                    found = compare_at_speed(place, curves[claim.arm], curves[other])
                    yield replace(found, lower=lower_is_better(results.scores.metric[task]))


def _curve(arm: str, at: str, times: pd.DataFrame, results: Results) -> Curve:
    points = []
    for _, row in times[times["arm"] == arm].iterrows():
        place = Place(str(row["task"]), at, float(row["sparsity"]))
        score = results.scores.finished(place, arm).get(int(row["seed"]))
        if score is not None:
            points.append((int(row["seed"]), float(row["speedup"]), score))
    return Curve.of(arm, points)
