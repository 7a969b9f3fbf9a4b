"""A suite as it was run: resolved, with its pins, so that results are read without its files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smc_bench.engine.pruning.latency import LatencyTable, SpeedTarget
from smc_bench.engine.pruning.methods.registry import METHODS
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.kinds import RATES, SPARSITY, SparsitySchedule
from smc_bench.errors import SuiteError
from smc_bench.suite.cell import UNRESOLVED
from smc_bench.suite.claims import Claim
from smc_bench.suite.expand import DENSE_ARM, Pins, Plan, expand
from smc_bench.suite.load import LoadedSuite
from smc_bench.suite.resolve import TaskRecipes
from smc_bench.suite.schema import Suite
from smc_bench.suite.yaml_file import YamlFile, nearest
from smc_bench.tasks.specs import SPECS, TaskSpec


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(_Part):
    """What the command line of the run said; without folders, which are private.

    Attributes:
        file: Name of the suite's file.
        settings: Every ``--set``, in order, as :func:`public` has them.
        include: Names of files of plug-ins.
    """

    file: str
    settings: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


class _Recipes(_Part):
    arms: dict[str, Recipe]
    dense: Recipe


class StoredSuite(_Part):
    """A resolved suite; :meth:`plan` makes the cells of the run again.

    Attributes:
        format: Of this file.
        suite: The suite's axes after profile and command line.
        profile: The profile in force.
        note: What the profile wants said under every table.
        untuned: Arms whose learning rate was still to be chosen.
        recipes: By task.
        model_pin: Identity of the weights.
        data_pins: Identity of rows by ``task/config/split``.
        precision: What ``train.precision: auto`` stood for.
        claims: Published claims about this suite.
        origin: Where it came from.
    """

    format: Literal[1] = 1
    suite: dict[str, Any]
    profile: str
    note: str | None = None
    untuned: tuple[str, ...] = ()
    recipes: dict[str, _Recipes]
    model_pin: str
    data_pins: dict[str, str]
    precision: str | None = None
    claims: dict[str, Claim] = Field(default_factory=dict)
    origin: Origin

    @classmethod
    def of(cls, plan: Plan, claims: dict[str, Claim], origin: Origin) -> StoredSuite:
        """What has to be kept of a plan, whatever cells it is limited to."""
        loaded = plan.loaded
        data_pins = {
            f"{cell.task.name}/{cell.task.config}/{split}": pin
            for cell in plan.cells.values()
            for split, pin in cell.data_pins.items()
        }
        changes = {"profiles": {}, "model": loaded.suite.model_name}
        bare = loaded.suite.model_copy(update=changes)
        return cls(
            suite=bare.model_dump(mode="json"),
            profile=loaded.profile,
            note=loaded.note,
            untuned=loaded.untuned,
            recipes={
                task: _Recipes(arms=_with_tables(plan, task, found.arms), dense=found.dense)
                for task, found in loaded.recipes.items()
            },
            model_pin=plan.entries[0].cell.model_pin,
            data_pins=data_pins,
            precision=_chosen_precision(plan),
            claims={n: claim for n, claim in claims.items() if claim.suite == loaded.suite.name},
            origin=origin,
        )

    @property
    def name(self) -> str:
        """The suite's name."""
        return str(self.suite.get("name"))

    @property
    def flags(self) -> str:
        """The options that the run had, as a command line has them."""
        words = [f"--profile {self.profile}", *(f"--set {text}" for text in self.origin.settings)]
        return " ".join(words)

    def is_of(self, loaded: LoadedSuite) -> bool:
        """Whether a suite's file, as it is loaded now, asks for what the run was asked for."""
        changes = {"profiles": {}, "model": loaded.suite.model_name}
        bare = loaded.suite.model_copy(update=changes).model_dump(mode="json")
        return bare == self.suite and loaded.recipes == self.load().recipes

    @property
    def complete(self) -> bool:
        """Whether all tasks, scorers, methods and schedules of it are known here."""
        return all(name in known for _, name, known in self._names())

    def load(self) -> LoadedSuite:
        """The suite as the run had it.

        Raises:
            SuiteError: A task, scorer, method or schedule of it is of a plug-in that is not
                loaded, or this version of smc-bench has no such settings.
        """
        for kind, name, known in self._names():
            if name not in known:
                files = " ".join(f"--include {path}" for path in self.origin.include)
                hint = (
                    f"the run had {files}: give it again"
                    if files
                    else nearest(name, sorted(known))[2:]
                )
                raise SuiteError(f"suite {self.name}: unknown {kind} {name!r}; {hint}")
        try:
            suite = Suite.model_validate(self.suite)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise SuiteError(
                f"suite {self.name}: stored by another version of smc-bench, which this one does "
                f"not read ({where}: {first['msg']}); run it again, or give the suite's file"
            ) from None
        recipes = {
            task: TaskRecipes(found.arms, found.dense) for task, found in self.recipes.items()
        }
        file = YamlFile(Path(self.origin.file), {}, {})
        return LoadedSuite(file, suite, self.profile, self.note, recipes, self.untuned)

    def _names(self) -> Iterator[tuple[str, str, Collection[str]]]:
        """What a plug-in may have registered: its kind, its name, and the names that are known."""
        for task, found in self.recipes.items():
            yield "task", task, SPECS
            for recipe in (found.dense, *found.arms.values()):
                yield "scorer", recipe.scorer, SCORERS
                yield "lr_schedule", recipe.lr_schedule.kind, RATES.specs
                if recipe.method is not None:
                    yield "method", recipe.method, METHODS
                lengths = recipe.train.duration
                for schedule in (recipe.sparsity_schedule, getattr(lengths, "length", None)):
                    if isinstance(schedule, SparsitySchedule):
                        yield "sparsity_schedule", schedule.kind, SPARSITY.specs

    def plan(self) -> Plan:
        """The cells of the run."""
        return expand(self.load(), KeptPins(self))


class KeptPins:
    """The pins of a stored run; what it has none for is asked of others, else unresolved."""

    def __init__(self, stored: StoredSuite, others: Pins | None = None) -> None:
        """Others are asked for rows and models that the run did not have."""
        self.stored, self.others = stored, others

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        """Identity of a split's rows."""
        kept = self.stored.data_pins.get(f"{spec.name}/{config}/{split}")
        if kept is not None or self.others is None:
            return kept or UNRESOLVED
        return self.others.data(spec, config, split)

    def model(self, reference: str) -> str:
        """Identity of the model, if it is the run's; a folder is looked at anew."""
        if self.others is None or reference == self.stored.suite.get("model"):
            return self.stored.model_pin
        return self.others.model(reference)

    def latencies(self, target: SpeedTarget, model: str, suite: Path) -> LatencyTable | None:
        """Of a target that the run did not have: those that it had hold their tables."""
        return None if self.others is None else self.others.latencies(target, model, suite)

    def precision(self) -> str | None:
        """What ``train.precision: auto`` stood for in the run."""
        if self.stored.precision is None and self.others is not None:
            return self.others.precision()
        return self.stored.precision


def public(setting: str) -> str:
    """A ``--set`` without the folder of a model."""
    key, _, value = setting.partition("=")
    if key.strip() == "model" and value.strip().startswith(("/", "~", ".")):
        return f"model=./{Path(value.strip()).name}"
    return setting


def _with_tables(plan: Plan, task: str, arms: dict[str, Recipe]) -> dict[str, Recipe]:
    """Arms whose target is a speed with the table of latencies that the plan went by."""
    targets = {
        entry.arm: entry.cell.recipe.target
        for entry in plan.entries
        if entry.cell.task.name == task and entry.cell.recipe.target is not None
    }
    return {
        arm: recipe.model_copy(update={"target": targets[arm]}) if arm in targets else recipe
        for arm, recipe in arms.items()
    }


def _chosen_precision(plan: Plan) -> str | None:
    """The precision of a cell whose recipe leaves it to the machine."""
    for entry in plan.entries:
        recipes = plan.loaded.recipes[entry.cell.task.name]
        written = recipes.dense if entry.arm == DENSE_ARM else recipes.arms[entry.arm]
        found = entry.cell.recipe.train.precision
        if written.train.precision == "auto" and found != "auto":
            return found
    return None
