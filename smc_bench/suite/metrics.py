"""Names of metrics, and whether a plan's cells can have the one that was asked for."""

from __future__ import annotations

from smc_bench.errors import SuiteError
from smc_bench.suite.cell import TaskSettings
from smc_bench.suite.expand import Plan
from smc_bench.suite.yaml_file import nearest
from smc_bench.tasks.specs import SPECS


def metric_names(task: TaskSettings) -> list[str]:
    """Metrics of a task's records, the primary one first: with the suffix of their split."""
    spec = SPECS[task.name]
    known = {split.name: split.suffix for split in spec.eval_splits}
    alone = len(task.eval_splits) == 1
    suffixes = [known.get(split, "" if alone else f"_{split}") for split in task.eval_splits]
    return [f"{metric}{suffix}" for suffix in suffixes for metric in spec.metrics]


def check_metric(plan: Plan, metric: str) -> None:
    """Refuse a metric that no task of a plan has.

    Raises:
        SuiteError: Naming those that there are.
    """
    tasks = dict.fromkeys(entry.cell.task for entry in plan.entries)
    known = dict.fromkeys(name for task in tasks for name in metric_names(task))
    if metric not in known:
        raise SuiteError(f"--metric {metric}: no task has it{nearest(metric, list(known))}")
