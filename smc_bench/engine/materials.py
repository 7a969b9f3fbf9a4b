"""What a cell works on: rows, features, models, the teacher's answers, as its recipe asks."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import accelerate
import tokenizers
import torch
import transformers
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from smc_bench.engine.context import Progress, RunContext
from smc_bench.engine.feed import Feed
from smc_bench.engine.predict import HeadArrays, predict
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.seeding import generator
from smc_bench.engine.shared import (
    SavedOutputs,
    engine_code,
    read_features,
    task_code,
    write_features,
    write_outputs,
)
from smc_bench.errors import MissingDataError, ModelError
from smc_bench.models.load import load_model, load_tokenizer, quiet_tokenizers
from smc_bench.tasks.base import Encoding, Feature, Row, Task
from smc_bench.tasks.registry import get_task


class TaskLike(Protocol):
    """The part of a cell's task settings that the engine reads."""

    name: str
    train_split: str
    eval_splits: tuple[str, ...]
    max_length: int
    stride: int


class CellLike(Protocol):
    """What the engine reads of a cell (``smc_bench.suite.cell.Cell`` is one)."""

    @property
    def task(self) -> Any:
        """A :class:`TaskLike`."""

    @property
    def recipe(self) -> Recipe:
        """How it is trained and pruned."""

    @property
    def sparsity(self) -> float:
        """Target of the schedule."""

    @property
    def seed(self) -> int:
        """Seed of head, dropout and order."""

    @property
    def limit(self) -> int | None:
        """Optimizer steps after which training is cut short."""


CHOICE = 2
"""Version of :func:`chosen_rows`, part of the key of what is made from its rows."""


def chosen_rows(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """At most ``limit`` rows, in file order: the same for every seed and every cell.

    They are the first of one permutation of the split, so that a smaller choice is part of every
    larger one: what trains on half as many rows as its teacher trains on half of the teacher's.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    chosen = generator(0, "rows").permutation(len(rows))[:limit]
    return [rows[index] for index in sorted(chosen)]


class Materials:
    """Inputs of one cell; what other cells can use too is made once for all of them."""

    def __init__(self, cell: CellLike, context: RunContext) -> None:
        """Load the tokenizer; rows and models come when they are asked for."""
        quiet_tokenizers()
        self.cell, self.context, self.recipe = cell, context, cell.recipe
        self.settings: TaskLike = cell.task
        self.task: Task = get_task(self.settings.name)
        self.encoding = Encoding(self.settings.max_length, self.settings.stride)
        self.accelerator = _accelerator(cell.recipe)
        self.tokenizer = load_tokenizer(context.model_folder())
        self.pad = int(self.tokenizer.pad_token_id or 0)

    def training(self) -> tuple[list[Row], list[Feature]]:
        """Rows of the training split and their features, with targets."""
        return self._split(self.settings.train_split, self.recipe.train.rows, train=True)

    def evaluation(self, split: str) -> tuple[list[Row], list[Feature]]:
        """Rows of an evaluation split and their features."""
        return self._split(split, self.recipe.evaluation.rows, train=False)

    def model(self) -> Any:
        """The model that training starts from, with a new head."""
        start = self.recipe.train.start_from
        folder = (
            self.context.teacher_folder() if start == "teacher" else self.context.model_folder()
        )
        return self._load(folder, self.recipe.train.dropout)

    def feed(self, model: Any) -> Feed:
        """A model on the device, with the recipe's padding and precision."""
        return Feed(
            model.to(self.accelerator.device),
            self.task.head,
            self.pad,
            self.accelerator.autocast,
            self.recipe.train.padding,
        )

    def teacher_outputs(self, features: list[Feature]) -> Sequence[HeadArrays] | None:
        """The teacher's logits on every feature, in eval mode: one forward pass for all cells."""
        if self.recipe.distillation is None:
            return None

        def make(folder: Path) -> None:
            teacher = self.feed(self._load(self.context.teacher_folder()))
            write_outputs(folder, self.predict(teacher, features, "teacher"))

        train = self.recipe.train
        key = {
            **self._key(train.rows),
            **self.context.teacher_key(),
            "padding": train.padding,
            "batch": self.recipe.evaluation.batch,
            "device": self.accelerator.device.type,
            "torch": torch.__version__,
        }
        folder = self.context.shared("teacher-logits", self.settings.train_split, key, make)
        return SavedOutputs(folder)

    def prefix_key(self, content: dict[str, Any], micro_batch: int) -> dict[str, Any]:
        """Everything that the bits of the weights before the first pruning event follow from."""
        device = self.accelerator.device
        cuda = device.type == "cuda"
        return {
            **self._key(self.recipe.train.rows),
            **(self.context.teacher_key() if self.recipe.needs_teacher else {}),
            **content,
            "engine": engine_code(),
            "seed": self.cell.seed,
            "micro_batch": micro_batch,
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name(device) if cuda else _processor(),
            "versions": [torch.__version__, transformers.__version__, accelerate.__version__],
        }

    def predict(self, feed: Feed, features: list[Feature], phase: str) -> list[HeadArrays]:
        """Outputs of a model on features, told as a phase of the cell."""

        def progress(done: int) -> None:
            self.context.progress(Progress(phase, done, len(features)))

        return predict(
            feed,
            features,
            self.recipe.evaluation.batch,
            progress=progress,
            should_stop=self.context.should_stop,
        )

    def _split(
        self, split: str, limit: int | None, *, train: bool
    ) -> tuple[list[Row], list[Feature]]:
        every = self.context.rows(split)
        if not every:
            raise MissingDataError(f"{self.settings.name}: the split {split!r} has no rows")
        rows = chosen_rows(every, limit)

        def make(folder: Path) -> None:
            found = self.task.features(rows, self.tokenizer, self.encoding, train=train)
            write_features(folder, found)

        key = {**self._key(limit), "train": train}
        return rows, read_features(self.context.shared("features", split, key, make))

    def _key(self, limit: int | None) -> dict[str, Any]:
        return {
            "task": self.settings.name,
            "code": task_code(self.task),
            "max_length": self.encoding.max_length,
            "stride": self.encoding.stride,
            "limit": limit,
            "choice": CHOICE,
            "tokenizers": tokenizers.__version__,
        }

    def _load(self, folder: Path, dropout: float | None = None) -> Any:
        model = load_model(
            folder, self.task.head, self.task.spec.labels, seed=self.cell.seed, dropout=dropout
        )
        limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)
        # RoBERTa and MPNet number positions from padding_idx + 1, so two of theirs are never used.
        usable = limit - 2 if limit % 2 == 0 and limit % 64 == 2 else limit
        if usable and self.encoding.max_length > usable:
            raise ModelError(
                f"max_length {self.encoding.max_length} is more than the {usable} positions "
                f"that {folder.name} has"
            )
        return model


def _processor() -> dict[str, Any]:
    """What decides which kernels torch chooses here; this very machine where torch can't say."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return {"node": platform.node()}
    return {k: v for k, v in torch.cpu.get_capabilities().items() if not k.startswith("num_")}


def _accelerator(recipe: Recipe) -> Accelerator:
    # accelerate keeps one state a process; a second cell may want another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    if recipe.train.precision == "auto":
        raise ModelError("train.precision: auto was not replaced; write bf16 or fp32")
    precision = {"fp32": "no"}.get(recipe.train.precision, recipe.train.precision)
    if precision == "fp16" and not torch.cuda.is_available():
        raise ModelError("train.precision: fp16 needs a GPU; write bf16 or fp32")
    return Accelerator(mixed_precision=precision)
