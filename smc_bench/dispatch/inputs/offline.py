"""What compute nodes without a network would miss, said before anything is submitted."""

from __future__ import annotations

from dataclasses import replace

from smc_bench.errors import SmcBenchError
from smc_bench.sources import Lock, Roots, rows, weights
from smc_bench.suite.expand import task_settings
from smc_bench.suite.schema import Suite


def missing(suite: Suite, roots: Roots, lock: Lock) -> list[str]:
    """One line for each model and split that is not on disk; nothing is fetched.

    Args:
        suite: Names tasks and model.
        roots: Where to look; taken as offline whatever it says.
        lock: Commits that the cells were planned with.
    """
    offline = replace(roots, offline=True, registry=False)
    lines = []
    try:
        weights.resolve(weights.ModelRef.parse(suite.model), offline, lock, network=False)
    except SmcBenchError as error:
        lines.append(str(error))
    for entry in suite.tasks:
        spec, task = task_settings(entry)
        for split in dict.fromkeys((task.train_split, *task.eval_splits)):
            try:
                rows.resolve(spec, task.config, split, offline, lock, network=False)
            except SmcBenchError as error:
                lines.append(str(error))
    return lines
