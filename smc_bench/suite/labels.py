"""What each task of a plan is called, so that no two settings of a task look like one."""

from __future__ import annotations

import re

from smc_bench.suite.cell import TaskSettings
from smc_bench.suite.expand import Plan


def labels(plan: Plan) -> dict[TaskSettings, str]:
    """What each task is called: its name, with whatever tells it from others of that name.

    No two tasks have the same label: cells that differ in more than the seed never look like seeds
    of one another.
    """
    tasks = list(dict.fromkeys(entry.cell.task for entry in plan.entries))
    found: dict[TaskSettings, str] = {}
    for task in tasks:
        alike = [other for other in tasks if other.name == task.name]
        label = _label(task, alike)
        taken = set(found.values()) | {other.name for other in tasks if other.name != task.name}
        number = 2
        while label in taken:
            label, number = f"{_label(task, alike)}-{number}", number + 1
        found[task] = label
    return found


def _label(task: TaskSettings, alike: list[TaskSettings]) -> str:
    """``race-middle``, ``sst2-max_length=64``: only what differs, fit for a file's name."""
    parts = [task.name]
    for key, value in task.model_dump().items():
        if len({repr(getattr(other, key)) for other in alike}) > 1:
            shown = "+".join(value) if isinstance(value, tuple) else str(value)
            shown = re.sub(r"[^\w.+-]+", "_", shown)
            parts.append(shown if key == "config" else f"{key}={shown}")
    return "-".join(parts)
