"""Axes to cells: tasks x sparsities x arms x seeds, dense teachers first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.versions import later_versions
from smc_bench.suite.cell import Cell, TaskSettings
from smc_bench.suite.explain import explain
from smc_bench.suite.load import LoadedSuite
from smc_bench.suite.naming import DENSE_ARM
from smc_bench.suite.pins import Pins as Pins
from smc_bench.suite.schema import TaskEntry
from smc_bench.suite.tuning import fingerprint, trains, tuning_context, with_peak
from smc_bench.tasks.specs import SPECS, TaskSpec

__all__ = ["DENSE_ARM", "Entry", "Pins", "Plan", "Try", "expand", "task_settings", "tries"]


@dataclass(frozen=True)
class Entry:
    """A cell in its place in the suite.

    Attributes:
        cell: The experiment.
        arm: The arm it stands for (``dense`` for the dense cells).
        target: Sparsity on the suite's axis (the cell's own, or 0 for dense).
        compare_at: What is equal (a suite's ``compare_at``), or empty: sparsity of the scope.
    """

    cell: Cell
    arm: str
    target: float
    compare_at: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a suite under a profile, in the order in which they are best run."""

    loaded: LoadedSuite
    entries: tuple[Entry, ...]

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Each distinct cell once, in running order."""
        return {entry.cell.id: entry.cell for entry in self.entries}


def task_settings(entry: TaskEntry) -> tuple[TaskSpec, TaskSettings]:
    """A suite's task with every default filled in from the spec."""
    spec = SPECS[entry.name]
    splits = entry.eval_splits or tuple(split.name for split in spec.eval_splits)
    return spec, TaskSettings(
        name=spec.name,
        version=spec.version,
        config=entry.config or spec.config,
        train_split=entry.train_split or spec.train_split,
        eval_splits=splits,
        max_length=entry.max_length or spec.max_length,
        stride=spec.stride if entry.stride is None else entry.stride,
    )


def expand(loaded: LoadedSuite, pins: Pins, limit: int | None = None) -> Plan:
    """Enumerate a suite.

    Args:
        loaded: The suite.
        pins: Resolves data and models.
        limit: Cut every cell's training after so many steps (marks them unfit for reporting).

    Raises:
        SuiteError: If two arms, or two tasks, would be told apart by nothing.
    """
    _check_tasks_differ(loaded)
    entries: list[Entry] = []
    for task in loaded.suite.tasks:
        entries.extend(_Expansion(loaded, task, pins, limit).entries())
    order = {seed: rank for rank, seed in enumerate(_all_seeds(loaded))}
    entries.sort(key=lambda entry: (entry.arm != DENSE_ARM, order[entry.cell.seed]))
    _check_distinct(loaded, entries)
    return Plan(loaded, tuple(entries))


def _all_seeds(loaded: LoadedSuite) -> list[int]:
    dense = loaded.suite.dense
    seeds = [*(dense.seeds or ()), *loaded.suite.seeds]
    teacher = dense.teacher_seed if dense.teacher_seed is not None else loaded.suite.seeds[0]
    return list(dict.fromkeys([teacher, *seeds]))


@dataclass(frozen=True)
class Try:
    """A cell that tells how one arm does at one learning rate, on training rows held back."""

    task: str
    arm: str
    recipe: str
    peak: float
    cell: Cell


def tries(loaded: LoadedSuite, pins: Pins, dense: Mapping[str, float] | None = None) -> list[Try]:
    """The cells that learning rates are chosen by, in running order.

    Args:
        loaded: A suite with ``tune``, its rates not applied.
        pins: Resolves data and models.
        dense: By task the rate chosen for the dense model, which the arms' tries are taught by;
            None: the tries of the dense models.
    """
    assert loaded.suite.tune is not None
    found: list[Try] = []
    for entry in loaded.suite.tasks:
        found.extend(_Expansion(loaded, entry, pins, None, tuning=True).tries(dense))
    return found


class _Expansion:
    """The cells of one task; with ``tuning`` they are evaluated on rows held back from training."""

    def __init__(
        self,
        loaded: LoadedSuite,
        task: TaskEntry,
        pins: Pins,
        limit: int | None,
        *,
        tuning: bool = False,
    ) -> None:
        self.loaded, self.limit, self.pins = loaded, limit, pins
        spec, self.task = task_settings(task)
        tune = loaded.suite.tune
        if tuning and tune is not None:
            split = self.task.train_split
            changes = {"held_back": tune.rows, "eval_splits": (split,)}
            self.task = self.task.model_copy(update=changes)
        splits = dict.fromkeys((self.task.train_split, *self.task.eval_splits))
        self.data_pins = {split: pins.data(spec, self.task.config, split) for split in splits}
        self.model_pin = pins.model(loaded.suite.model)
        self.teacher_seed = _all_seeds(loaded)[0]
        self.recipes = loaded.recipes[task.name]
        self.teacher = self._cell(self.recipes.dense, 0.0, self.teacher_seed)

    def entries(self) -> list[Entry]:
        """Dense cells, then for each seed all arms over the axis."""
        suite = self.loaded.suite
        seeds = dict.fromkeys((self.teacher_seed, *(suite.dense.seeds or ())))
        found = [Entry(self._cell(self.recipes.dense, 0.0, seed), DENSE_ARM, 0.0) for seed in seeds]
        for seed in suite.seeds:
            for arm, recipe in self.recipes.arms.items():
                found.extend(self._arm(arm, recipe, seed))
        return found

    def tries(self, dense: Mapping[str, float] | None) -> list[Try]:
        """See :func:`tries`."""
        tune, suite = self.loaded.suite.tune, self.loaded.suite
        assert tune is not None
        if dense is None:
            return [self._try(DENSE_ARM, self.recipes.dense, peak, 0.0) for peak in tune.peaks]
        taught_by = with_peak(self.recipes.dense, dense[self.task.name])
        self.teacher = self._cell(taught_by, 0.0, tune.seed)
        found = []
        for arm, recipe in self.recipes.arms.items():
            if not trains(recipe):
                continue
            pruned = recipe.sparsity_schedule is not None
            target = suite_axis(recipe, (tune.sparsity,))[0] if pruned else 0.0
            known = self._with_latencies(recipe)
            compared = _compared(known, suite.compare_at[0] if suite.compare_at else "")
            found += [self._try(arm, compared, peak, target, recipe) for peak in tune.peaks]
        return found

    def _try(
        self, arm: str, recipe: Recipe, peak: float, target: float, written: Recipe | None = None
    ) -> Try:
        tune = self.loaded.suite.tune
        assert tune is not None
        cell = self._cell(with_peak(recipe, peak), target, tune.seed)
        around = tuning_context(self.loaded.suite, self.task.name)
        return Try(self.task.name, arm, fingerprint(written or recipe, around), peak, cell)

    def _arm(self, arm: str, recipe: Recipe, seed: int) -> list[Entry]:
        if recipe.sparsity_schedule is None:
            return [Entry(self._cell(recipe, 0.0, seed), arm, 0.0)]
        recipe = self._with_latencies(recipe)
        # A speed is one point of the axis: the share of the dense time that it leaves out.
        axis = suite_axis(recipe, self.loaded.suite.sparsity)
        found = []
        for at in self.loaded.suite.compare_at or ("",):
            try:
                compared = _compared(recipe, at)
            except ValidationError as error:
                message = f"compare_at: {at}: {explain(error, Recipe)[1]}"
                self.loaded.file.fail((*self.loaded.place("arms"), arm), message)
            for sparsity in axis:
                found.append(Entry(self._cell(compared, sparsity, seed), arm, sparsity, at))
        return found

    def _with_latencies(self, recipe: Recipe) -> Recipe:
        return with_latencies(self.loaded, recipe, self.pins)

    def _with_precision(self, recipe: Recipe) -> Recipe:
        found = self.pins.precision() if recipe.train.precision == "auto" else None
        if found is None:
            return recipe
        return recipe.model_copy(
            update={"train": recipe.train.model_copy(update={"precision": found})}
        )

    def _cell(self, recipe: Recipe, sparsity: float, seed: int) -> Cell:
        recipe = self._with_precision(recipe.normalised())
        return Cell(
            task=self.task,
            model=self.loaded.suite.model_name,
            model_pin=self.model_pin,
            data_pins=self.data_pins,
            recipe=recipe,
            scorer_version=SCORERS[recipe.scorer].version,
            versions=later_versions(recipe),
            sparsity=sparsity,
            seed=seed,
            teacher=self.teacher.id if recipe.needs_teacher else None,
            limit=self.limit,
        )


def with_latencies(loaded: LoadedSuite, recipe: Recipe, pins: Pins) -> Recipe:
    """A recipe whose target is a speed with its table of latencies, where that is known."""
    target = recipe.target
    if target is None or target.known:
        return recipe
    table = pins.latencies(target, loaded.suite.model, loaded.path)
    if table is None:
        return recipe
    return recipe.model_copy(update={"target": target.model_copy(update={"table": table})})


def suite_axis(recipe: Recipe, sparsities: tuple[float, ...]) -> tuple[float, ...]:
    """What an arm's schedule ends at: the suite's sparsities, or its own target in speed."""
    return sparsities if recipe.target is None else (recipe.target.sparsity,)


def _compared(recipe: Recipe, at: str) -> Recipe:
    """The recipe whose target is read as ``compare_at`` says.

    Raises:
        ValidationError: If the recipe can't be compared so: the encoder is not in its scope.
    """
    if at in ("", "scope_sparsity"):
        return recipe
    over = "encoder" if at == "encoder_sparsity" else "encoder_zeros"
    return Recipe.model_validate({**recipe.model_dump(), "sparsity_over": over})


def _check_tasks_differ(loaded: LoadedSuite) -> None:
    seen: set[TaskSettings] = set()
    for entry in loaded.suite.tasks:
        settings = task_settings(entry)[1]
        if settings in seen:
            loaded.file.fail(
                loaded.place("tasks"),
                f"{entry.name} stands there twice with the same settings: its cells would be "
                "counted twice",
            )
        seen.add(settings)


def _check_distinct(loaded: LoadedSuite, entries: list[Entry]) -> None:
    seen: dict[tuple[str, str, float, int, str], str] = {}
    for entry in entries:
        key = (entry.cell.id, entry.cell.task.name, entry.target, entry.cell.seed, entry.compare_at)
        other = seen.setdefault(key, entry.arm)
        if other != entry.arm:
            message = f"has the same settings as {other!r}: nothing would be compared"
            loaded.file.fail((*loaded.place("arms"), entry.arm), message)
