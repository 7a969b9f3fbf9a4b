"""``--set key=value`` from the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from smc_bench.engine.recipe import Recipe
from smc_bench.errors import SuiteError
from smc_bench.suite.yaml_file import dotted, nearest, parse_value
from smc_bench.suite.yaml_tree import YamlProblem

SUITE_KEYS = ("model", "tasks", "sparsity", "seeds", "execution", "baseline")
SECTIONS = ("execution",)
"""Keys of a suite that hold keys of their own, which are set one by one."""


@dataclass(frozen=True)
class Overrides:
    """Settings that win over the suite's: axes of the suite, and a patch to every recipe.

    Attributes:
        suite: By key of the suite; ``execution`` holds only what is changed.
        recipe: Merged over every recipe.
    """

    suite: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def parse_overrides(settings: tuple[str, ...]) -> Overrides:
    """Parse ``--set`` values such as ``seeds=[1,2]`` or ``train.rows=500``.

    Raises:
        SuiteError: If a setting has no ``=``, no known first key, or no YAML value.
    """
    overrides = Overrides()
    known = [*SUITE_KEYS, *Recipe.model_fields]
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise SuiteError(f"--set {setting}: write key=value, for example train.rows=500")
        if path[0] not in known:
            raise SuiteError(f"--set {setting}: unknown key {path[0]!r}{nearest(path[0], known)}")
        if not text.strip():
            raise SuiteError(f"--set {setting}: the value is missing (null stands for none)")
        if path[0] in SUITE_KEYS and path[0] not in SECTIONS and len(path) > 1:
            raise SuiteError(f"--set {setting}: {path[0]} is set as a whole: {path[0]}=…")
        try:
            value = parse_value(text)
        except YamlProblem as problem:
            where = f" ({dotted(problem.at)})" if problem.at else ""
            raise SuiteError(f"--set {setting}: {problem}{where}") from None
        target = overrides.suite if path[0] in SUITE_KEYS else overrides.recipe
        _put(target, path, value, setting)
    return overrides


def _put(target: dict[str, Any], path: list[str], value: Any, setting: str) -> None:
    """Set a key path; a later setting wins over an earlier one, but sections are merged."""
    for part in path[:-1]:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise SuiteError(f"--set {setting}: an earlier --set made {part} {target!r}")
    old = target.get(path[-1])
    if isinstance(old, dict) and isinstance(value, dict):
        for key, item in value.items():
            _put(old, [key], item, setting)
    else:
        target[path[-1]] = value
