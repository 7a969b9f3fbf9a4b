"""A suite file and its recipes, read strictly: typed values or one line that says what is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.execution import Execution
from smc_bench.errors import MissingDataError, SuiteError
from smc_bench.sources.weights import ModelRef, located
from smc_bench.suite.ablations import with_ablations
from smc_bench.suite.explain import explain
from smc_bench.suite.naming import DENSE_ARM, check_names
from smc_bench.suite.overrides import SECTIONS, Overrides
from smc_bench.suite.resolve import Resolver, TaskRecipes, shipped_recipes
from smc_bench.suite.schema import Profile, Suite
from smc_bench.suite.tuning import read_tuned
from smc_bench.suite.yaml_file import KeyPath, YamlFile, dotted, nearest, read_yaml
from smc_bench.tasks.specs import SPECS

BUILT_IN = "paper"
"""The profile of every suite that changes nothing: the suite as it is written."""

PLAIN = "default"
"""What this profile is called in a suite that has no profiles and names none."""

MAX_CELLS = 20_000
"""Of one suite under one profile; the largest that is shipped has 480."""

__all__ = ["BUILT_IN", "PLAIN", "LoadedSuite", "load_suite", "shipped_recipes"]


@dataclass(frozen=True)
class LoadedSuite:
    """A suite under one profile, with every recipe resolved.

    Attributes:
        suite: The suite's axes after the profile.
        file: What it was read from; names lines.
        profile: Name of the profile in force.
        note: What the profile wants said under every table.
        recipes: By task: the recipe of each arm and of the dense cells.
        untuned: Arms whose learning rate is still to be chosen (``smc-bench tune``).
    """

    file: YamlFile
    suite: Suite
    profile: str
    note: str | None
    recipes: dict[str, TaskRecipes]
    untuned: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The YAML file."""
        return self.file.path

    def place(self, axis: str) -> KeyPath:
        """Where an axis is written: in the profile, or at the top."""
        return _place(self.file, self.profile, axis)


def load_suite(
    path: Path,
    profile: str | None = None,
    overrides: Overrides | None = None,
    *,
    tuned: bool = True,
) -> LoadedSuite:
    """Read a suite under a profile.

    Args:
        path: The YAML file; recipes are looked up in ``recipes/`` beside it, then the shipped.
        profile: A profile's name, or None for the suite's default.
        overrides: Settings from the command line (``--set``), merged last.
        tuned: Apply the learning rates that were chosen for this suite and profile.

    Raises:
        SuiteError: If anything in the suite or its recipes is wrong.
    """
    file = with_ablations(read_yaml(path))
    overrides = overrides or Overrides()
    suite = _validated(file, overrides)
    check_names(file, suite, BUILT_IN)
    chosen, settings = _profile(file, suite, profile)
    suite = _with_profile(suite, settings, overrides)
    at = _where_model(chosen, settings, overrides)
    suite = suite.model_copy(update={"model": _located(file, suite, at)})
    _check_tasks(file, suite)
    _check_cells(file, suite, chosen)
    resolver = Resolver(file, suite, chosen, settings, overrides)
    resolver.check_references()
    recipes = {name: resolver.on(name) for name in {entry.name: None for entry in suite.tasks}}
    loaded = LoadedSuite(file, suite, chosen, settings.note, recipes)
    _check_tunable(loaded)
    return _tuned(loaded) if tuned else loaded


def _check_tunable(loaded: LoadedSuite) -> None:
    """A rate is chosen for an arm on a task, so no task may stand there in two settings."""
    names = [entry.name for entry in loaded.suite.tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if loaded.suite.tune is not None and twice is not None:
        loaded.file.fail(
            loaded.place("tune"),
            f"chooses one rate of an arm on a task, but {twice} stands there in several settings: "
            "give each a suite of its own",
        )


def _tuned(loaded: LoadedSuite) -> LoadedSuite:
    """The same suite at the learning rates that were chosen for its arms."""
    tune = loaded.suite.tune
    if tune is None:
        return loaded
    rates = read_tuned(loaded.path, loaded.profile, loaded.suite, tune)
    recipes = {
        task: TaskRecipes(
            {arm: rates.apply(recipe, task, arm) for arm, recipe in found.arms.items()},
            rates.apply(found.dense, task, DENSE_ARM),
        )
        for task, found in loaded.recipes.items()
    }
    return replace(loaded, recipes=recipes, untuned=tuple(rates.missing))


def _validated(file: YamlFile, overrides: Overrides) -> Suite:
    whole = {key: value for key, value in overrides.suite.items() if key not in SECTIONS}
    try:
        return Suite.model_validate({**file.data, **whole})
    except ValidationError as error:
        location, message = explain(error, Suite)
        if location and location[0] in whole:
            raise SuiteError(f"--set {dotted(location)}: {message}") from None
        file.fail(location, message)


def _profile(file: YamlFile, suite: Suite, name: str | None) -> tuple[str, Profile]:
    plain = not suite.profiles and "default_profile" not in file.data
    wanted = name or (PLAIN if plain else suite.default_profile)
    if plain and wanted == PLAIN:
        return wanted, Profile()
    if wanted in suite.profiles:
        return wanted, suite.profiles[wanted]
    if wanted == BUILT_IN:
        return wanted, Profile()
    known = sorted({BUILT_IN, *suite.profiles})
    message = f"there is no profile {wanted!r}{nearest(wanted, known)}"
    if name is None:
        file.fail(("default_profile",), message)
    raise SuiteError(f"{file.path}: {message}")


def _says(profile: Profile, key: str) -> bool:
    """Whether a profile says something of an axis; ``tune: null`` says that nothing is tuned."""
    without = key == "tune" and key in profile.model_fields_set
    return without or getattr(profile, key) is not None


def _with_profile(suite: Suite, profile: Profile, overrides: Overrides) -> Suite:
    axes = ("model", "tasks", "sparsity", "seeds", "arms", "dense", "execution", "slurm", "tune")
    changes = {
        key: getattr(profile, key)
        for key in axes
        if _says(profile, key) and (key in SECTIONS or key not in overrides.suite)
    }
    suite = suite.model_copy(update=changes)
    if "execution" not in overrides.suite:
        return suite
    execution = _execution(suite.execution, overrides.suite["execution"])
    return suite.model_copy(update={"execution": execution})


def _execution(written: Execution, changes: object) -> Execution:
    """What the suite and its profile say, with the command line's settings over it."""
    if not isinstance(changes, dict):
        raise SuiteError("--set execution: set one of its keys, such as execution.micro_batch=4")
    try:
        return Execution.model_validate({**written.model_dump(), **changes})
    except ValidationError as error:
        location, message = explain(error, Execution)
        raise SuiteError(f"--set {dotted(('execution', *location))}: {message}") from None


def _check_tasks(file: YamlFile, suite: Suite) -> None:
    for entry in suite.tasks:
        if entry.name not in SPECS:
            line_of = _where_task(file, entry.name)
            file.fail(line_of, f"unknown task {entry.name!r}{nearest(entry.name, sorted(SPECS))}")


def _where_model(profile: str, settings: Profile, overrides: Overrides) -> KeyPath | None:
    """The key that names the model in force; None: the command line."""
    if "model" in overrides.suite:
        return None
    return ("model",) if settings.model is None else ("profiles", profile, "model")


def _located(file: YamlFile, suite: Suite, at: KeyPath | None) -> str:
    """The model: an alias, a Hub repository, or a folder, relative to the file that names it.

    What the command line names (``at`` None) is relative to the current folder.
    """
    try:
        found = located(suite.model, Path.cwd() if at is None else file.path.absolute().parent)
        ModelRef.parse(found)
    except MissingDataError as error:
        if at is None:
            raise SuiteError(f"--set model: {error}") from None
        file.fail(at, str(error))
    return found


def _place(file: YamlFile, profile: str, axis: str) -> KeyPath:
    in_profile = ("profiles", profile, axis)
    return in_profile if in_profile in file.lines else (axis,)


def _check_cells(file: YamlFile, suite: Suite, profile: str) -> None:
    axes = {
        "tasks": len(suite.tasks),
        "sparsity": len(suite.sparsity),
        "arms": len(suite.arms),
        "seeds": len(suite.seeds),
        "compare_at": max(1, len(suite.compare_at)),
    }
    if math.prod(axes.values()) <= MAX_CELLS:
        return
    longest = max(axes, key=lambda axis: axes[axis])
    shown = " x ".join(f"{count:,} {axis}" for axis, count in axes.items() if count > 1)
    file.fail(
        _place(file, profile, longest),
        f"{shown} are {math.prod(axes.values()):,} cells, more than {MAX_CELLS:,}",
    )


def _where_task(file: YamlFile, name: str) -> KeyPath:
    for key in sorted(file.lines, key=len):
        value: Any = file.data
        try:
            for part in key:
                value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        if "tasks" in key and value in (name, {"name": name}):
            return key
    return ("tasks",)
