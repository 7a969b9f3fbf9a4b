"""Tasks by name. Implementations are imported only when a task is asked for.

A task of a user's own needs one call of :func:`register`; see :mod:`smc_bench.plugins`.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from smc_bench.errors import SmcBenchError
from smc_bench.names import path_problem
from smc_bench.tasks.specs import SPECS, Family, TaskSpec

if TYPE_CHECKING:
    from smc_bench.tasks.base import Task

IMPLEMENTATIONS: dict[str, str | type[Task]] = {
    "commonsense_qa": "smc_bench.tasks.multiple_choice:CommonsenseQA",
    "winogrande": "smc_bench.tasks.multiple_choice:WinoGrande",
    "race": "smc_bench.tasks.multiple_choice:Race",
}
FAMILIES: dict[Family, str] = {
    "classification": "smc_bench.tasks.glue:Classification",
    "regression": "smc_bench.tasks.glue:Regression",
    "span": "smc_bench.tasks.squad:Squad",
}


def all_names() -> list[str]:
    """Names of all tasks, sorted."""
    return sorted(SPECS)


def get_task(name: str) -> Task:
    """The implementation of a task, bound to its spec.

    Raises:
        SmcBenchError: If there is no such task, or its implementation can't be found.
    """
    if name not in SPECS:
        near = difflib.get_close_matches(name, all_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(all_names())}"
        raise SmcBenchError(f"unknown task {name!r}; {hint}")
    spec = SPECS[name]
    found = IMPLEMENTATIONS.get(name) or FAMILIES.get(spec.family)
    if found is None:
        raise SmcBenchError(f"task {name!r}: tasks of the family {spec.family!r} need a class")
    if isinstance(found, str):
        module, _, cls = found.partition(":")
        try:
            found = getattr(importlib.import_module(module), cls)
        except (ImportError, AttributeError) as error:
            raise SmcBenchError(f"task {name!r}: {found!r} can't be imported: {error}") from error
    task: Task = found(spec)
    return task


def register(spec: TaskSpec, implementation: str | type[Task] | None = None) -> None:
    """Add a task.

    Args:
        spec: What it is; ``spec.name`` must be free.
        implementation: Its class, or ``"module:Class"`` to import that only when it is needed;
            None for what all tasks of ``spec.family`` use.

    Raises:
        SmcBenchError: If the name is taken by another task, or can't be that of a folder.
    """
    problem = path_problem(spec.name)
    if problem:
        raise SmcBenchError(f"task {spec.name!r}: {problem}")
    taken = (SPECS.get(spec.name), IMPLEMENTATIONS.get(spec.name))
    if spec.name in SPECS and taken != (spec, implementation):
        raise SmcBenchError(f"task {spec.name!r} is already registered")
    SPECS[spec.name] = spec
    if implementation is not None:
        IMPLEMENTATIONS[spec.name] = implementation
