"""What a cell works on: rows, features, models, the teacher's answers, as its recipe asks."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accelerate
import tokenizers
import torch
import transformers

from smc_bench.engine.accelerator import accelerator_for
from smc_bench.engine.cache import (
    SavedOutputs,
    code_of,
    engine_code,
    read_features,
    task_code,
    write_features,
    write_outputs,
)
from smc_bench.engine.cell_like import CellLike, TaskLike
from smc_bench.engine.context import Progress, RunContext
from smc_bench.engine.head_start import copy_head, scale_head
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.predict import HeadArrays, predict
from smc_bench.engine.loss.writing import write
from smc_bench.engine.seeding import generator
from smc_bench.engine.versions import own_code
from smc_bench.errors import MissingDataError, ModelError
from smc_bench.models.depth import keep_layers
from smc_bench.models.fit import check_length, check_tokenizer
from smc_bench.models.load import load_model, load_tokenizer, quiet_tokenizers
from smc_bench.models.recompute import recompute_blocks
from smc_bench.tasks.base import Encoding, Feature, Outputs, Row, Task
from smc_bench.tasks.registry import get_task

CHOICE = 2
"""Version of :func:`chosen_rows`, part of the key of what is made from its rows."""


def chosen_rows(rows: Sequence[Row], limit: int | None, held_back: int = 0) -> list[Row]:
    """At most ``limit`` rows, in file order: the same for every seed and every cell.

    They are the first of one permutation of the split, so that a smaller choice is part of every
    larger one: what trains on half as many rows as its teacher trains on half of the teacher's.
    The last ``held_back`` of the permutation are never among them.
    """
    left = max(0, len(rows) - held_back)
    count = left if limit is None else min(limit, left)
    if count == len(rows):
        return list(rows)
    chosen = generator(0, "rows").permutation(len(rows))[:count]
    return [rows[index] for index in sorted(chosen)]


def held_back_rows(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows that :func:`chosen_rows` leaves out for ``held_back``, in file order."""
    chosen = generator(0, "rows").permutation(len(rows))[-count:]
    return [rows[index] for index in sorted(chosen)]


class CellInputs:
    """Inputs of one cell; what other cells can use too is made once for all of them."""

    def __init__(self, cell: CellLike, context: RunContext) -> None:
        """Load the tokenizer; rows and models come when they are asked for."""
        quiet_tokenizers()
        self.cell, self.context, self.recipe = cell, context, cell.recipe
        self.settings: TaskLike = cell.task
        self.task: Task = get_task(self.settings.name)
        self.encoding = Encoding(self.settings.max_length, self.settings.stride)
        self.accelerator = accelerator_for(cell.recipe)
        self.tokenizer = load_tokenizer(context.model_folder())
        self.pad = int(self.tokenizer.pad_token_id or 0)

    def training(self) -> tuple[list[Row], list[Feature]]:
        """Rows of the training split and their features, with targets."""
        split, limit = self.settings.train_split, self.recipe.train.rows
        rows, held_back = self._rows(split), self.settings.held_back or 0
        chosen = chosen_rows(rows, limit, held_back)
        if not chosen:
            raise MissingDataError(
                f"{self.settings.name}: {held_back} rows are to be held back, but the split "
                f"{split!r} has no more than {len(rows)}"
            )
        return self._features(chosen, split, limit, train=True)

    def evaluation(self, split: str) -> tuple[list[Row], list[Feature]]:
        """Rows of an evaluation split and their features, or of those held back from training."""
        rows, limit = self._rows(split), self.recipe.evaluation.rows
        count = self.settings.held_back
        chosen = chosen_rows(rows, limit) if count is None else held_back_rows(rows, count)
        return self._features(chosen, split, limit, train=False)

    def model(self) -> Any:
        """The model that training starts from, with a new head."""
        model = self._start()
        if self.context.execution.gradient_checkpointing:
            recompute_blocks(model)
        return model

    def _start(self) -> Any:
        train = self.recipe.train
        if train.start_from == "teacher":
            return self._shallow(
                self._load(self.context.teacher_folder(), train.dropout, finished=True)
            )
        if self.writes and train.head != "new":
            raise ModelError(
                f"train.head: {train.head} makes another head, but {self.settings.name} takes the "
                "language model's own: leave train.head out"
            )
        model = self._shallow(self._load(self.context.model_folder(), train.dropout))
        if train.head == "encoder_scale":
            scale_head(model)
        elif train.head == "trained":
            copy_head(model, self._load(self.context.teacher_folder(), finished=True))
        return model

    def _shallow(self, model: Any) -> Any:
        kept = self.recipe.train.keep_layers
        if kept is not None:
            keep_layers(model, kept)
        return model

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
        """The teacher's logits on every feature, in eval mode: one forward pass for all cells.

        None without distillation, and for language models: see :meth:`live_teacher`.
        """
        if self.recipe.distillation is None or self.writes:
            return None

        def make(folder: Path) -> None:
            teacher = self.feed(self._load(self.context.teacher_folder(), finished=True))
            write_outputs(folder, self.predict(teacher, features, "teacher"))
            self.context.teacher_folder()  # what was changed since it was read is not kept either

        train = self.recipe.train
        key = {
            **self._key(train.rows),
            **self.context.teacher_key(),
            "padding": train.padding,
            "batch": self.recipe.evaluation.batch,
            "device": self.accelerator.device.type,
            "torch": torch.__version__,
            # Those made before weights were hashed as they are read may be of others.
            "hashed": True,
        }
        folder = self.context.shared("teacher-logits", self.settings.train_split, key, make)
        return SavedOutputs(folder)

    def live_teacher(self) -> Feed | None:
        """The teacher itself, where a language model distils.

        Its logits over the whole vocabulary at every token are too many to keep (GPT-2 on a million
        tokens: 200 GB), and the loss needs all of them. Each step costs a forward pass of it.
        """
        if self.recipe.distillation is None or not self.writes:
            return None
        teacher = self._load(self.context.teacher_folder(), finished=True)
        return self.feed(teacher.eval().requires_grad_(False))

    @property
    def writes(self) -> bool:
        """Whether the task's model is a language model."""
        return self.task.head == "language_modelling"

    def prefix_key(self, content: dict[str, Any], micro_batch: int) -> dict[str, Any]:
        """Everything that the bits of the weights before the first pruning event follow from."""
        device = self.accelerator.device
        cuda = device.type == "cuda"
        own = {name: code_of(name) for name in own_code(self.recipe)}
        return {
            **self._key(self.recipe.train.rows),
            **(self.context.teacher_key() if self.recipe.needs_teacher else {}),
            **content,
            "engine": engine_code(),
            **({"plugins": own} if own else {}),
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

    def answers(self, feed: Feed, features: list[Feature]) -> Outputs:
        """What the task scores on an evaluation split: outputs, or texts where a model writes."""
        if not self.task.new_tokens:
            return self.predict(feed, features, "evaluate")
        return write(
            feed,
            features,
            self.tokenizer,
            self.task.new_tokens,
            self.recipe.evaluation.batch,
            progress=lambda done: self.context.progress(Progress("evaluate", done, len(features))),
            should_stop=self.context.should_stop,
        )

    def _rows(self, split: str) -> Sequence[Row]:
        rows = self.context.rows(split)
        if not rows:
            raise MissingDataError(f"{self.settings.name}: the split {split!r} has no rows")
        return rows

    def _features(
        self, rows: list[Row], split: str, limit: int | None, *, train: bool
    ) -> tuple[list[Row], list[Feature]]:
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
            "held_back": self.settings.held_back,
            "choice": CHOICE,
            "tokenizers": tokenizers.__version__,
        }

    def _load(self, folder: Path, dropout: float | None = None, *, finished: bool = False) -> Any:
        spec = self.task.spec
        model = load_model(
            folder,
            self.task.head,
            spec.labels,
            seed=self.cell.seed,
            dropout=dropout,
            names=spec.label_names,
            finished=finished,
        )
        check_length(model.config, self.encoding.max_length, folder)
        check_tokenizer(self.tokenizer, model.config, folder)
        return model


def _processor() -> dict[str, Any]:
    """What decides which kernels torch chooses here; this very machine where torch can't say."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return {"node": platform.node()}
    return {k: v for k, v in torch.cpu.get_capabilities().items() if not k.startswith("num_")}
