"""What a suite file may say. Recipes inside it stay plain dictionaries until they are merged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from smc_bench.engine.execution import Execution
from smc_bench.engine.recipe import Strict
from smc_bench.engine.strict import one_or_many
from smc_bench.suite.slurm_section import SuiteSlurm

SparsityOver = Literal["scope_sparsity", "encoder_sparsity", "model_sparsity"]


def named_grid(value: object) -> object:
    """Spell out a named grid: ``smc`` is 1 - 0.8^k, k = 1..10 (SMC-Bench, arXiv 2303.02141)."""
    if value == "smc":
        return [round(1.0 - 0.8**k, 6) for k in range(1, 11)]
    if isinstance(value, str):
        raise ValueError(f"{value!r} is not a named grid: write smc, or a list such as [0.5, 0.8]")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    return value


Sparsity = Annotated[float, Field(gt=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a value stands here twice")
    return values


_once = AfterValidator(_each_once)
_grid = BeforeValidator(
    named_grid, json_schema_input_type=Sparsity | Literal["smc"] | list[Sparsity]
)
Sparsities = Annotated[tuple[Sparsity, ...], Field(min_length=1), _grid, _once]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), one_or_many, _once]


class TaskEntry(Strict):
    """A task in a suite; only the name is needed.

    Attributes:
        name: Name of the task (``smc-bench list``).
        config: Configuration of the data set; the task's own if left out.
        train_split: Split that is trained on; the task's own if left out.
        eval_splits: Splits that are evaluated on; the task's own if left out.
        max_length: Tokens that a sequence (or a window of a context) is cut to; the task's own if
            left out.
        stride: Tokens that neighbouring windows of a long context share; the task's own if left
            out.
    """

    name: str
    config: str | None = None
    train_split: str | None = None
    eval_splits: Annotated[tuple[str, ...], one_or_many, _once] | None = None
    max_length: int | None = Field(None, ge=8)
    stride: int | None = Field(None, ge=0)


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _one_task(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


_task = BeforeValidator(_named, json_schema_input_type=str | TaskEntry)
Task = Annotated[TaskEntry, _task]
_tasks = BeforeValidator(_one_task, json_schema_input_type=str | TaskEntry | list[str | TaskEntry])
Tasks = Annotated[tuple[Task, ...], Field(min_length=1), _tasks]


class Dense(Strict):
    """The dense cells that arms are compared with, one of which is the teacher.

    Attributes:
        recipe: Recipe of the dense model; it may neither prune nor distil.
        seeds: Seeds of the dense model; if left out, the teacher's alone.
        teacher_seed: Seed of the dense model that students distil from; if left out, the first of
            the suite's ``seeds``.
    """

    recipe: str = "dense"
    seeds: Seeds | None = None
    teacher_seed: Seed | None = None


class PlotLayout(Strict):
    """The layout of the accuracy plot.

    Attributes:
        x: Measured sparsity on the x axis: of the scope, the encoder or the whole model.
    """

    x: Literal["sparsity", "encoder_sparsity", "model_sparsity"] = "sparsity"


class ReportLayout(Strict):
    """How a suite is drawn.

    Attributes:
        plot: The accuracy plot.
    """

    plot: PlotLayout = PlotLayout()


class Tuning(Strict):
    """Peak learning rates that every arm, and the dense model, is tried at (``smc-bench tune``).

    A try trains without ``rows`` of the training rows and is scored on these; no evaluation row is
    looked at. The floor keeps its share of the peak, and every arm has the same tries.

    Attributes:
        peaks: The rates, at least two.
        rows: Training rows held back, the same ones for every arm.
        sparsity: At which arms are tried; what is chosen holds for all of the suite's sparsities.
        seed: Of the tries, best not one of the suite's.
    """

    peaks: tuple[Annotated[float, Field(gt=0.0)], ...] = Field(min_length=2)
    rows: int = Field(2000, ge=1)
    sparsity: Sparsity
    seed: Seed

    @field_validator("peaks")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("write each rate once, the lowest first")
        return value


Patch = dict[str, Any]
"""Part of a recipe, merged over another: sections by key, a section of another kind as a whole."""


class Profile(Strict):
    """What a profile changes: axes of the suite, and patches to recipes.

    ``recipe`` is merged over every recipe (dense ones too), ``recipes`` over the one it names; an
    arm's own settings come last, so that the compared difference stays.

    Attributes:
        model: Replaces the suite's model.
        tasks: Replaces the suite's tasks.
        sparsity: Replaces the suite's target sparsities.
        seeds: Replaces the suite's seeds.
        arms: Replaces the suite's arms.
        dense: Replaces the suite's dense cells.
        execution: Replaces how the suite's cells are run.
        slurm: Replaces the suite's resources on SLURM.
        tune: Replaces the suite's tuning; null: nothing is tuned.
        recipe: Settings merged over every recipe, dense ones too.
        recipes: Settings merged over the recipe of that name.
        note: What is partial about this profile; shown under its tables.
    """

    model: str | None = None
    tasks: Tasks | None = None
    sparsity: Sparsities | None = None
    seeds: Seeds | None = None
    arms: dict[str, Patch] | None = Field(None, min_length=1)
    dense: Dense | None = None
    execution: Execution | None = None
    slurm: SuiteSlurm | None = None
    tune: Tuning | None = None
    recipe: Patch = Field(default_factory=dict)
    recipes: dict[str, Patch] = Field(default_factory=dict)
    note: str | None = None


class Suite(Strict):
    """A comparison: tasks x sparsities x arms x seeds.

    ``recipe`` and ``recipes`` are patches as in a profile, which is merged over them.

    Attributes:
        name: Name of the suite; also the folder of its reports.
        title: Heading of its tables and plots.
        description: What is compared, and why.
        tasks: Tasks that every arm is trained and evaluated on.
        model: Pretrained model: a name on the Hugging Face Hub, a folder, or one of the models in
            packages, ``minilm-l6``, ``paraphrase-minilm-l3`` and ``smollm2-135m``.
        sparsity: Target sparsities, 0..1. ``smc`` is the grid 1 - 0.8^k, k = 1..10 (SMC-Bench,
            arXiv 2303.02141).
        seeds: Seeds of the head's initial weights, of dropout and of the order of batches.
        baseline: Recipe of arms that name none.
        arms: What is compared: the name of each arm, and its difference from the baseline.
        dense: The dense model that arms are compared with and distil from.
        compare_at: Measured sparsities at which arms of different scopes are made equal; each is
            a comparison of its own.
        profiles: Variants of the suite, such as a small one for a laptop, by name.
        default_profile: Profile that is taken where ``--profile`` names none.
        execution: How cells are run; no part of their identity.
        slurm: Resources on a SLURM cluster; no part of their identity.
        tune: Learning rates that are tried on held-back training rows (``smc-bench tune``).
        report: How results are drawn.
        recipe: Settings merged over every recipe, dense ones too.
        recipes: Settings merged over the recipe of that name.
    """

    name: str
    title: str
    description: str = ""
    tasks: Tasks
    model: str
    sparsity: Sparsities
    seeds: Seeds
    baseline: str
    arms: dict[str, Patch] = Field(min_length=1)
    dense: Dense = Dense()
    compare_at: Annotated[tuple[SparsityOver, ...], one_or_many, _once] = ()
    profiles: dict[str, Profile] = Field(default_factory=dict)
    default_profile: str = "paper"
    execution: Execution = Execution()
    slurm: SuiteSlurm = SuiteSlurm()
    tune: Tuning | None = None
    report: ReportLayout = ReportLayout()
    recipe: Patch = Field(default_factory=dict)
    recipes: dict[str, Patch] = Field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """The model as records and reports name it: of a folder only the last part."""
        path = Path(self.model)
        return f"./{path.name}" if path.is_absolute() else self.model

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
            raise ValueError("a suite's name becomes a folder: use letters, digits, '_' and '-'")
        return value
