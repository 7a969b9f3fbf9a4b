"""Tasks by name. Implementations are imported only when a task is asked for.

A task of a user's own needs one call of :func:`register`; see :mod:`smc_bench.plugins`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from typing import TYPE_CHECKING, get_args

from smc_bench.errors import SmcBenchError
from smc_bench.tasks.spec_checks import check_spec
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
    "language_modelling": "smc_bench.tasks.language_modelling:LanguageModelling",
    "generation": "smc_bench.tasks.answer_writing:AnswerWriting",
}


_SIGNATURES: tuple[tuple[str, tuple[str, ...], dict[str, bool]], ...] = (
    ("features", ("rows", "tokenizer", "encoding"), {"train": True}),
    ("score", ("rows", "features", "outputs"), {}),
    ("trivial", ("rows",), {}),
    ("check", ("rows",), {}),
    ("check_row", ("index", "row"), {}),
)


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
    _check_class(name, found)
    _check_spec(spec, found)
    task: Task = found(spec)
    return task


def register(spec: TaskSpec, implementation: str | type[Task] | None = None) -> None:
    """Add a task.

    Args:
        spec: What it is; ``spec.name`` must be free.
        implementation: Its class, or ``"module:Class"`` to import that only when it is needed;
            None for what all tasks of ``spec.family`` use.

    Raises:
        SmcBenchError: If the name is taken by another task, or spec or class are not right; says
            what they should be. A class that is named by its path is looked at when it is needed
            first, and by ``smc-bench check``.
    """
    if not isinstance(implementation, str):
        if implementation is not None:
            _check_class(getattr(spec, "name", repr(spec)), implementation)
        _check_spec(spec, implementation)
    else:
        check_spec(spec, own_scores=True)
        if not re.fullmatch(r"[\w.]+:\w+", implementation):
            raise SmcBenchError(f"task {spec.name!r}: write {implementation!r} as module:Class")
    taken = (SPECS.get(spec.name), IMPLEMENTATIONS.get(spec.name))
    if spec.name in SPECS and taken != (spec, implementation):
        raise SmcBenchError(f"task {spec.name!r} is already registered")
    SPECS[spec.name] = spec
    if implementation is not None:
        IMPLEMENTATIONS[spec.name] = implementation


def _check_spec(spec: TaskSpec, implementation: type[Task] | None) -> None:
    """A class with scores and constant answers of its own may have metrics of its own."""
    own = False
    if implementation is not None:
        methods = (getattr(implementation, name) for name in ("score", "trivial"))
        makers = [str(getattr(method, "__module__", "")) for method in methods]
        own = not any(module.startswith("smc_bench.tasks.") for module in makers)
    check_spec(spec, own_scores=own)


def _check_class(name: str, found: object) -> None:
    from smc_bench.tasks.base import Head, Task

    if not isinstance(found, type) or not issubclass(found, Task):
        raise SmcBenchError(f"task {name!r}: {found!r} is not a class made from Task")
    where = f"task {name!r}: {found.__module__}.{found.__qualname__}"
    if found.__abstractmethods__:
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise SmcBenchError(f"{where} has no method {lacking}")
    if getattr(found, "head", None) not in get_args(Head):
        heads = ", ".join(get_args(Head))
        raise SmcBenchError(f"{where}: head must be one of {heads}")
    for method, arguments, named in _SIGNATURES:
        try:
            inspect.signature(getattr(found, method)).bind("self", *arguments, **named)
        except TypeError as error:
            wanted = ", ".join(("self", *arguments, *(("*", *named) if named else ())))
            raise SmcBenchError(f"{where}: {method} must take ({wanted}), but: {error}") from None
