"""All that tables, plots and verdicts are made from: read once, compared once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from smc_bench.errors import DamagedError
from smc_bench.report.data.frame import frame, records
from smc_bench.report.statistics.compare import Place, Scores
from smc_bench.report.statistics.examples import Examples
from smc_bench.report.statistics.significance import Significance
from smc_bench.report.statistics.stats import Estimate
from smc_bench.store.record import Record
from smc_bench.store.store import Store
from smc_bench.suite.cell import TaskSettings
from smc_bench.suite.expand import DENSE_ARM, Plan
from smc_bench.suite.labels import labels

_KEYS = ["task", "metric", "compare_at", "arm", "sparsity"]


@dataclass(frozen=True)
class Results:
    """A plan's finished cells.

    Attributes:
        plan: The suite, expanded.
        data: A row a cell; see :func:`smc_bench.report.data.frame.frame`.
        scores: The same by place, arm and seed, with results by example.
        records: Reportable records, by cell.
        problems: Files that can't be believed, for people: their cells count as not finished.
    """

    plan: Plan
    data: pd.DataFrame
    scores: Scores
    records: dict[str, Record]
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan, store: Store, metric: str | None = None) -> Results:
        """Read a plan's records; ``metric`` None takes each task's primary one."""
        found = records(plan, store)
        examples = Examples(plan, store, found)
        data = frame(plan, store, metric, found)
        problems = _leave_out(data, plan, store, examples)
        return cls(plan, data, Scores(data, examples), found, problems)

    @property
    def tasks(self) -> list[str]:
        """Tasks in the suite's order."""
        return list(dict.fromkeys(self.data["task"]))

    @cached_property
    def labels(self) -> dict[TaskSettings, str]:
        """What each task of the plan is called here."""
        return labels(self.plan)

    def ways(self, task: str) -> list[str]:
        """Ways of comparing (``compare_at``) that a task's pruned arms have."""
        chosen = (self.data["task"] == task) & (self.data["arm"] != DENSE_ARM)
        return list(dict.fromkeys(self.data.loc[chosen, "compare_at"]))

    def significance(self, task: str, compare_at: str) -> Significance:
        """Which arms of one table can be told apart."""
        key = (task, compare_at)
        if key not in self._significances:
            self._significances[key] = Significance(self.scores, task, compare_at)
        return self._significances[key]

    @cached_property
    def _significances(self) -> dict[tuple[str, str], Significance]:
        return {}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Mean, sd and count over seeds, interval and recovery of each arm at each sparsity.

        ``low`` and ``high`` bound the score, ``recovery_low`` and ``recovery_high`` the percentage
        of the dense score, at 95 %; ``covers`` says which chance ``low`` and ``high`` cover.
        """
        table = (
            self.data.groupby(_KEYS, sort=False)
            .agg(
                mean=("value", "mean"),
                sd=("value", "std"),
                n=("value", "count"),
                of=("value", "size"),
                scope_sparsity=("scope_sparsity", "mean"),
                encoder_sparsity=("encoder_sparsity", "mean"),
                model_sparsity=("model_sparsity", "mean"),
                size_millions=("size_millions", "mean"),
                steps=("steps", "mean"),
            )
            .reset_index()
        )
        bounds = [self._bounds(row) for _, row in table.iterrows()]
        names = ["low", "high", "recovery", "recovery_low", "recovery_high", "covers"]
        return table.join(pd.DataFrame(bounds, columns=names, index=table.index))

    def _bounds(self, row: pd.Series) -> tuple[float, float, float, float, float, str]:
        place = Place(str(row["task"]), str(row["compare_at"]), float(row["sparsity"]))
        arm = str(row["arm"])
        score = self.scores.score(place, arm)
        recovery = _interval(self.scores.recovery(place, arm))
        return (*_interval(score)[1:], *recovery, "" if score is None else score.covers)


def _leave_out(data: pd.DataFrame, plan: Plan, store: Store, examples: Examples) -> tuple[str, ...]:
    """Take out cells whose files contradict each other, in place; what is wrong with which."""
    problems = []
    for at, row in data.iterrows():
        cell = plan.cells[str(row["cell"])]
        if row["state"] == "damaged":
            problems.append(store.folder(cell.folder).damage())
        elif pd.notna(row["value"]):
            try:
                examples.parts(cell.id, str(row["metric"]), float(row["value"]))
            except DamagedError as error:
                problems.append(str(error))
                data.loc[at, ["value", "trivial"]] = float("nan")
                data.loc[at, "state"] = "damaged"
    return tuple(dict.fromkeys([*problems, *examples.problems]))


def _interval(found: Estimate | None) -> tuple[float, float, float]:
    if found is None:
        return (float("nan"),) * 3
    return (found.value, *found.interval())
