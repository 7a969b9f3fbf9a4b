"""A suite file and its recipes, read strictly: typed values or one line that says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.recipe import Recipe
from smc_bench.engine.scorer_specs import SCORERS, checked_options
from smc_bench.errors import SuiteError
from smc_bench.suite.explain import explain
from smc_bench.suite.merge import Layer, Merged
from smc_bench.suite.overrides import Overrides
from smc_bench.suite.schema import Profile, Suite
from smc_bench.suite.yaml_file import KeyPath, YamlFile, nearest, read_yaml
from smc_bench.tasks.specs import SPECS

NOT_RECIPE_KEYS = ("extends", "title", "description")
BUILT_IN = "paper"


@dataclass(frozen=True)
class LoadedSuite:
    """A suite under one profile, with every recipe resolved.

    Attributes:
        suite: The suite's axes after the profile.
        profile: Name of the profile in force.
        note: What the profile wants said under every table.
        arms: Recipe of each arm, in the file's order.
        dense: Recipe of the dense cells.
    """

    path: Path
    suite: Suite
    profile: str
    note: str | None
    arms: dict[str, Recipe]
    dense: Recipe


def load_suite(
    path: Path, profile: str | None = None, overrides: Overrides | None = None
) -> LoadedSuite:
    """Read a suite under a profile.

    Args:
        path: The YAML file; recipes are looked up in ``recipes/`` beside it, then the shipped.
        profile: A profile's name, or None for the suite's default.
        overrides: Settings from the command line (``--set``), merged last.

    Raises:
        SuiteError: If anything in the suite or its recipes is wrong.
    """
    file = read_yaml(path)
    overrides = overrides or Overrides()
    suite = _validated(file, overrides)
    chosen, settings = _profile(file, suite, profile)
    suite = _with_profile(suite, settings, overrides)
    _check_tasks(file, suite)
    resolver = _Resolver(file, suite, chosen, settings, overrides)
    arms = {name: resolver.arm(name) for name in suite.arms}
    dense = resolver.named(suite.dense.recipe, "dense", ("dense", "recipe"))
    if dense.sparsity_schedule is not None or dense.needs_teacher:
        file.fail(("dense",), f"recipe {suite.dense.recipe!r} must neither prune nor distil")
    return LoadedSuite(path, suite, chosen, settings.note, arms, dense)


def _validated(file: YamlFile, overrides: Overrides) -> Suite:
    try:
        return Suite.model_validate({**file.data, **overrides.suite})
    except ValidationError as error:
        location, message = explain(error, Suite)
        if location and location[0] in overrides.suite:
            raise SuiteError(f"--set {'.'.join(map(str, location))}: {message}") from None
        file.fail(location, message)


def _profile(file: YamlFile, suite: Suite, name: str | None) -> tuple[str, Profile]:
    wanted = name or suite.default_profile
    if wanted in suite.profiles:
        return wanted, suite.profiles[wanted]
    if wanted == BUILT_IN:
        return wanted, Profile()
    known = sorted({BUILT_IN, *suite.profiles})
    raise SuiteError(f"{file.path}: there is no profile {wanted!r}{nearest(wanted, known)}")


def _with_profile(suite: Suite, profile: Profile, overrides: Overrides) -> Suite:
    axes = ("model", "tasks", "sparsity", "seeds", "arms", "dense", "execution", "slurm")
    changes = {
        key: getattr(profile, key)
        for key in axes
        if getattr(profile, key) is not None and key not in overrides.suite
    }
    return suite.model_copy(update=changes)


def _check_tasks(file: YamlFile, suite: Suite) -> None:
    for entry in suite.tasks:
        if entry.name not in SPECS:
            line_of = _where_task(file, entry.name)
            file.fail(line_of, f"unknown task {entry.name!r}{nearest(entry.name, sorted(SPECS))}")


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


class _Resolver:
    """Merges a recipe from its file, the suite, the profile, the arm and the command line."""

    def __init__(
        self, file: YamlFile, suite: Suite, profile: str, settings: Profile, overrides: Overrides
    ) -> None:
        self.file, self.suite, self.profile = file, suite, profile
        self.settings, self.overrides = settings, overrides
        self.directories = (file.path.parent / "recipes", *shipped_recipes())

    def named(self, name: str, context: str, asked_at: KeyPath) -> Recipe:
        """A recipe without an arm's own settings."""
        return self._finish(self._base(name, asked_at), name, context)

    def arm(self, arm: str) -> Recipe:
        """The recipe of an arm: its ``recipe:`` (or the baseline), then what it changes."""
        own = dict(self.suite.arms[arm] or {})
        from_profile = self.settings.arms is not None
        prefix: KeyPath = ("profiles", self.profile, "arms", arm) if from_profile else ("arms", arm)
        name = own.pop("recipe", self.suite.baseline)
        if not isinstance(name, str):
            self.file.fail((*prefix, "recipe"), "must be the name of a recipe")
        asked_at = (
            (*prefix, "recipe") if "recipe" in (self.suite.arms[arm] or {}) else ("baseline",)
        )
        merged = self._base(name, asked_at)
        self._profile_layers(merged, name)
        merged.add(Layer(own, self.file, prefix))
        return self._checked(merged, f"arm {arm!r}")

    def _finish(self, merged: Merged, name: str, context: str) -> Recipe:
        self._profile_layers(merged, name)
        return self._checked(merged, context)

    def _profile_layers(self, merged: Merged, name: str) -> None:
        profile = ("profiles", self.profile)
        for data, prefix in (
            (self.suite.recipe, ("recipe",)),
            (self.settings.recipe, (*profile, "recipe")),
            (self.settings.recipes.get(name, {}), (*profile, "recipes", name)),
        ):
            if data:
                merged.add(Layer(data, self.file, prefix))

    def _checked(self, merged: Merged, context: str) -> Recipe:
        if self.overrides.recipe:
            merged.add(Layer(self.overrides.recipe))
        recipe = merged.recipe(context)
        spec = SCORERS.get(recipe.scorer)
        if spec is None:
            message = f"unknown scorer {recipe.scorer!r}{nearest(recipe.scorer, sorted(SCORERS))}"
            raise merged.error(("scorer",), message, context)
        try:
            options = checked_options(spec, recipe.scorer_options)
        except ValidationError as error:
            location, message = explain(error, spec.options)
            raise merged.error(("scorer_options", *location), message, context) from None
        return recipe.model_copy(update={"scorer_options": options})

    def _base(self, name: str, asked_at: KeyPath, chain: tuple[str, ...] = ()) -> Merged:
        if name in chain:
            self.file.fail(
                asked_at, f"recipes extend each other in a circle: {' -> '.join((*chain, name))}"
            )
        file = self._recipe_file(name, asked_at)
        parent = file.data.get("extends")
        merged = self._base(str(parent), asked_at, (*chain, name)) if parent else Merged()
        data = {key: value for key, value in file.data.items() if key not in NOT_RECIPE_KEYS}
        merged.add(Layer(data, file))
        return merged

    def _recipe_file(self, name: str, asked_at: KeyPath) -> YamlFile:
        for directory in self.directories:
            path = directory / f"{name}.yaml"
            if path.is_file():
                return read_yaml(path)
        known = sorted({p.stem for d in self.directories if d.is_dir() for p in d.glob("*.yaml")})
        self.file.fail(asked_at, f"unknown recipe {name!r}{nearest(name, known)}")


def shipped_recipes() -> tuple[Path, ...]:
    """Folders with this project's own recipes: beside the package, or in it (wheel)."""
    package = Path(__file__).resolve().parent.parent
    return tuple(
        folder
        for folder in (package.parent / "suites" / "recipes", package / "_suites" / "recipes")
        if folder.is_dir()
    )
