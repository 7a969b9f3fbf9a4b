"""Which settings make a cell a rerun of a published method (``results/reported/methods.yaml``)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from smc_bench.engine.recipe import Recipe, Strict
from smc_bench.report.published.names import TASKS
from smc_bench.report.published.reported import Number
from smc_bench.suite.explain import explain
from smc_bench.suite.yaml_file import nearest, read_yaml

FILE = "methods.yaml"

Settings = dict[str, Any]
"""Values by a recipe's dotted key."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Method(Strict):
    """One published method.

    Attributes:
        paper: As in the numbers' ``paper``.
        method: As in the numbers' ``method``.
        table: As in the numbers' ``table`` (one or a list), where others of the paper's tables have
            another method of this name.
        epochs: As in the numbers' ``epochs``, where one table has several lengths.
        names: Settings without which a cell is another method; without any, no cell is this method
            and figures alone show it.
        ran_with: Settings of the publication; a cell with others is not comparable.
        tasks: Published tasks of a method whose numbers are not known here; else its numbers say.
        differs: By published task: what no cell here can do as the publication does.
        caveat: What else differs without making numbers incomparable.
    """

    paper: str
    method: str
    table: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    epochs: str | None = None
    names: Settings = Field(default_factory=dict, alias="is")
    ran_with: Settings = Field(default_factory=dict, alias="with")
    tasks: tuple[str, ...] = ()
    differs: dict[str, str] = Field(default_factory=dict)
    caveat: str = ""

    def reports(self, number: Number) -> bool:
        """Whether a published number is one of this method (and not of a single run)."""
        return (
            (number.paper, number.method) == (self.paper, self.method)
            and (not self.table or number.table in self.table)
            and self.epochs in (None, number.epochs)
            and number.seed is None
        )

    def is_run_by(self, recipe: Recipe) -> bool:
        """Whether a recipe is this method at all."""
        return bool(self.names) and not _different(self.names, recipe)

    def other_settings(self, recipe: Recipe) -> list[str]:
        """In which settings a recipe is not as published, in words."""
        found = _different(self.ran_with, recipe)
        return [f"{key} {_shown(ours)}, theirs {_shown(theirs)}" for key, ours, theirs in found]


class _Methods(Strict):
    methods: tuple[Method, ...] = Field(min_length=1)


def read_methods(folders: Iterable[Path]) -> tuple[Method, ...]:
    """Methods of all folders that have the file.

    Raises:
        SuiteError: Naming file, line and key of what is wrong.
    """
    found: list[Method] = []
    for path in (folder / FILE for folder in folders):
        if not path.is_file():
            continue
        file = read_yaml(path)
        try:
            methods = _Methods.model_validate(file.data).methods
        except ValidationError as error:
            file.fail(*explain(error, _Methods))
        for index, method in enumerate(methods):
            for task in (*method.tasks, *method.differs):
                if task not in TASKS:
                    message = f"unknown task {task!r}{nearest(task, list(TASKS))}"
                    file.fail(("methods", index), message)
        found.extend(method for method in methods if method not in found)  # of a file's copy
    return tuple(found)


def _different(wanted: Settings, recipe: Recipe) -> list[tuple[str, Any, Any]]:
    content = recipe.model_dump(mode="json")
    found = []
    for key, theirs in wanted.items():
        ours: Any = content
        for part in key.split("."):
            ours = ours.get(part) if isinstance(ours, dict) else None
        both = isinstance(ours, list) and isinstance(theirs, list)
        if not (sorted(ours) == sorted(theirs) if both else ours == theirs):
            found.append((key, ours, theirs))
    return found


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
