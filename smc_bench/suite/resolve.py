"""Recipes of a suite's arms: merged from recipe file, suite, profile, arm and command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.pruning.methods.registry import METHODS, asked_for, is_free, method_of
from smc_bench.engine.pruning.scorers.registry import SCORERS, HasOptions, checked_options
from smc_bench.engine.pruning.structures import UNSTRUCTURED, unit_kinds
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.no_steps import NoStepsError, check_lengths
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.errors import SmcBenchError
from smc_bench.names import path_problem
from smc_bench.suite.ablations import GUIDELINES
from smc_bench.suite.explain import explain
from smc_bench.suite.merge import Layer, Merged
from smc_bench.suite.overrides import Overrides
from smc_bench.suite.schema import Profile, Suite
from smc_bench.suite.yaml_file import KeyPath, YamlFile, nearest, read_yaml
from smc_bench.tasks.specs import SPECS

NOT_RECIPE_KEYS = ("extends", "title", "description")
BY_TASK = "by_task"
SAME_STEPS = "same_steps_as"


@dataclass(frozen=True)
class TaskRecipes:
    """Every recipe of a suite as it is on one task: by arm, in the file's order, and dense."""

    arms: dict[str, Recipe]
    dense: Recipe


class Resolver:
    """Merges the recipes of one suite under one profile.

    Any part of a recipe may hold ``by_task: {squad: {...}}``: what it sets on that task alone.
    """

    def __init__(
        self, file: YamlFile, suite: Suite, profile: str, settings: Profile, overrides: Overrides
    ) -> None:
        self.file, self.suite, self.profile = file, suite, profile
        self.settings, self.overrides = settings, overrides
        # Looked up among what is there: a name never becomes part of a path.
        folders = (file.path.parent / "recipes", *shipped_recipes())
        self.known = {p.stem: p for folder in reversed(folders) for p in folder.glob("*.yaml")}
        self.files: dict[str, YamlFile] = {}

    def check_references(self) -> None:
        """Check that every recipe that is named anywhere is one, also where nothing uses it.

        Raises:
            SuiteError: Naming file, line and key of what is no recipe.
        """
        self._recipe_file(self.suite.baseline, self.file, ("baseline",))
        for name in self.suite.recipes:
            self._recipe_file(name, self.file, ("recipes", name))
        for name in self.settings.recipes:
            self._recipe_file(name, self.file, ("profiles", self.profile, "recipes", name))

    def on(self, task: str) -> TaskRecipes:
        """All recipes on one task.

        Raises:
            SuiteError: If a recipe is wrong, or the dense one prunes or distils.
        """
        arms = {name: self._arm(name, task) for name in self.suite.arms}
        name, asked_at = self.suite.dense.recipe, ("dense", "recipe")
        dense = self._checked(self._named(name, task, asked_at), task, "dense")
        if dense.sparsity_schedule is not None or dense.needs_teacher:
            self.file.fail(("dense",), f"recipe {name!r} must neither prune nor distil")
        return TaskRecipes(arms, dense)

    def _arm(self, arm: str, task: str) -> Recipe:
        """``recipe:`` (or the baseline), guidelines taken from others, then the arm's changes."""
        written = self.suite.arms[arm] or {}
        own = {key: value for key, value in written.items() if key not in ("recipe", "take")}
        from_profile = self.settings.arms is not None
        prefix: KeyPath = ("profiles", self.profile, "arms", arm) if from_profile else ("arms", arm)
        name = written.get("recipe", self.suite.baseline)
        if not isinstance(name, str):
            self.file.fail((*prefix, "recipe"), "must be the name of a recipe")
        asked_at = (*prefix, "recipe") if "recipe" in written else ("baseline",)
        merged = self._named(name, task, asked_at)
        self._take(merged, written.get("take", {}), task, (*prefix, "take"))
        self._add(merged, Layer(own, self.file, prefix), task)
        recipe = self._checked(merged, task, f"arm {arm!r}")
        self._check_schedule(merged, recipe, task, f"arm {arm!r}")
        return recipe

    def _check_schedule(self, merged: Merged, recipe: Recipe, task: str, context: str) -> None:
        """Whether the schedule fits the length of training, at both ends of the suite's axis."""
        rows = min(SPECS[task].train_rows, recipe.train.rows or 2**60)
        pruned = recipe.sparsity_schedule is not None
        ends = {min(self.suite.sparsity), max(self.suite.sparsity)} if pruned else {0.0}
        for target in sorted(ends):
            where = f"{context} at {target:g}"
            try:
                timeline = build_timeline(recipe, target, rows)
            except (ValueError, SmcBenchError) as error:
                at = ("sparsity_schedule",) if pruned else ("train", "duration")
                raise merged.error(at, str(error), where) from None
            try:
                for share in (0.0, 0.5, 1.0):
                    learning_rate(recipe, timeline, round(share * max(0, timeline.total_steps - 1)))
            except SmcBenchError as error:
                raise merged.error(("lr_schedule",), str(error), where) from None

    def _take(self, merged: Merged, taken: Any, task: str, at: KeyPath) -> None:
        """Replace whole guidelines by those of other recipes (``take: {scope: smc}``)."""
        if not isinstance(taken, dict):
            self.file.fail(at, "write which guideline from which recipe, such as {scope: smc}")
        for guideline, donor in taken.items():
            if guideline not in GUIDELINES:
                close = nearest(str(guideline), list(GUIDELINES))
                self.file.fail((*at, guideline), f"unknown guideline {guideline!r}{close}")
            other = self._named(str(donor), task, (*at, guideline))
            for path in GUIDELINES[guideline]:
                merged.take(other, path)

    def _named(self, name: str, task: str, asked_at: KeyPath) -> Merged:
        """A recipe under the suite and its profile, without an arm's own settings."""
        merged = self._base(name, task, self.file, asked_at)
        profile = ("profiles", self.profile)
        for data, prefix in (
            (self.suite.recipe, ("recipe",)),
            (self.suite.recipes.get(name, {}), ("recipes", name)),
            (self.settings.recipe, (*profile, "recipe")),
            (self.settings.recipes.get(name, {}), (*profile, "recipes", name)),
        ):
            if data:
                self._add(merged, Layer(data, self.file, prefix), task)
        return merged

    def _add(self, merged: Merged, layer: Layer, task: str) -> None:
        """Merge a layer, then what it says of this task alone."""
        data = dict(layer.data)
        by_task = data.pop(BY_TASK, {})
        merged.add(Layer(data, layer.file, layer.prefix))
        at = (*layer.prefix, BY_TASK)
        file = layer.file or self.file
        if not isinstance(by_task, dict):
            file.fail(at, "write settings by task, such as {squad: {train: {batch: 16}}}")
        for name, patch in by_task.items():
            if name not in SPECS:
                file.fail((*at, name), f"unknown task {name!r}{nearest(str(name), sorted(SPECS))}")
            if not isinstance(patch, dict):
                file.fail((*at, name), "must hold settings of a recipe")
        if task in by_task:
            merged.add(Layer(by_task[task], layer.file, (*at, task)))

    def _checked(
        self, merged: Merged, task: str, context: str, chain: tuple[str, ...] = ()
    ) -> Recipe:
        if self.overrides.recipe:
            merged.add(Layer(self.overrides.recipe))
        self._settle_length(merged, task, context, chain)
        recipe = merged.recipe(context)
        recipe = self._with_options(merged, recipe, context)
        self._check_method(merged, recipe, context)
        rows = min(SPECS[task].train_rows, recipe.train.rows or SPECS[task].train_rows)
        try:
            check_lengths(recipe, rows, new_head=not SPECS[task].writes)
        except NoStepsError as error:
            raise merged.error(error.key, error.message, context) from None
        return recipe

    def _with_options(self, merged: Merged, recipe: Recipe, context: str) -> Recipe:
        """Options of scorer and method, checked and complete."""
        changes = {}
        registries: dict[str, Mapping[str, HasOptions]] = {"scorer": SCORERS, "method": METHODS}
        for key, known in registries.items():
            name = getattr(recipe, key)
            if name is None:
                continue
            spec = known.get(name)
            if spec is None:
                message = f"unknown {key} {name!r}{nearest(name, sorted(known))}"
                raise merged.error((key,), message, context)
            options = f"{key}_options"
            try:
                changes[options] = checked_options(spec, getattr(recipe, options))
            except ValidationError as error:
                location, message = explain(error, spec.options)
                raise merged.error((options, *location), message, context) from None
        return recipe.model_copy(update=changes)

    def _check_method(self, merged: Merged, recipe: Recipe, context: str) -> None:
        """Refuse two methods at once, and settings that a method would not heed."""
        if recipe.sparsity_schedule is None:
            return
        scorer = SCORERS[recipe.scorer]
        if scorer.units and not unit_kinds(recipe.structure):
            message = f"{recipe.scorer} scores whole units: set structure: heads+neurons, say"
            raise merged.error(("scorer",), message, context)
        if recipe.scorer == "ziplm" and recipe.structure == "layers":
            message = "ziplm scores heads and neurons, not layers: take another scorer"
            raise merged.error(("scorer",), message, context)
        asked = asked_for(recipe)
        if len(asked) > 1:
            (_, one), (key, two) = list(asked.items())[:2]
            message = f"{one} chooses the masks anew by itself: {two} does so too"
            raise merged.error((key,), message, context)
        if recipe.method is not None and METHODS[recipe.method].asked_by != "method":
            key = METHODS[recipe.method].asked_by
            message = f"{recipe.method} is asked for by {key}: leave method out"
            raise merged.error(("method",), message, context)
        if method_of(recipe).exchanges and recipe.structure != UNSTRUCTURED:
            message = f"{recipe.method} exchanges single weights: {recipe.structure} would not hold"
            raise merged.error(("structure",), message, context)
        if is_free(recipe) and recipe.structure != UNSTRUCTURED:
            name = recipe.method or recipe.scorer
            message = f"{name} keeps each weight that is over its threshold, not {recipe.structure}"
            raise merged.error(("structure",), message, context)

    def _settle_length(
        self, merged: Merged, task: str, context: str, chain: tuple[str, ...]
    ) -> None:
        """Write out ``train.duration: {same_steps_as: guidelines}`` as what it stands for."""
        train = merged.data.get("train")
        duration = train.get("duration") if isinstance(train, dict) else None
        if not isinstance(train, dict) or not isinstance(duration, dict):
            return
        at = ("train", "duration")
        if set(duration) != {SAME_STEPS} or not isinstance(duration[SAME_STEPS], str):
            raise merged.error(at, f"write 30ep, 3000it or {{{SAME_STEPS}: guidelines}}", context)
        name = duration[SAME_STEPS]
        if name in chain:
            circle = " -> ".join((*chain, name))
            raise merged.error(at, f"lengths follow from each other in a circle: {circle}", context)
        other = self._named(name, task, ("arms",))
        recipe = self._checked(other, task, f"recipe {name!r}", (*chain, name))
        train["duration"] = recipe.length.model_dump()

    def _base(
        self, name: str, task: str, asker: YamlFile, at: KeyPath, chain: tuple[str, ...] = ()
    ) -> Merged:
        """A recipe's file over those that it extends; ``asker`` names it at a key path."""
        if name in chain:
            asker.fail(at, f"recipes extend each other in a circle: {' -> '.join((*chain, name))}")
        file = self._recipe_file(name, asker, at)
        parent, here = file.data.get("extends"), ("extends",)
        if parent is None:
            merged = Merged()
        elif isinstance(parent, str):
            merged = self._base(parent, task, file, here, (*chain, name))
        else:
            file.fail(here, "must be the name of a recipe")
        data = {key: value for key, value in file.data.items() if key not in NOT_RECIPE_KEYS}
        self._add(merged, Layer(data, file), task)
        return merged

    def _recipe_file(self, name: str, asker: YamlFile, at: KeyPath) -> YamlFile:
        if name not in self.files:
            problem = path_problem(name)
            if problem:
                asker.fail(at, f"{name!r} can't be the name of a recipe: {problem}")
            if name not in self.known:
                asker.fail(at, f"unknown recipe {name!r}{nearest(name, sorted(self.known))}")
            self.files[name] = read_yaml(self.known[name])
        return self.files[name]


def shipped_recipes() -> tuple[Path, ...]:
    """Folders with this project's own recipes: beside the package, or in it (wheel)."""
    package = Path(__file__).resolve().parent.parent
    return tuple(
        folder
        for folder in (package.parent / "suites" / "recipes", package / "_suites" / "recipes")
        if folder.is_dir()
    )
