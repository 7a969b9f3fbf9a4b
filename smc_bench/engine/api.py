"""The one way into the engine: a cell and a context in, an outcome out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tokenizers
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from smc_bench.engine.audit import audit, read_weights
from smc_bench.engine.context import CellOutcome, Progress, RunContext, SplitScores
from smc_bench.engine.feed import Feed
from smc_bench.engine.predict import HeadArrays, predict
from smc_bench.engine.processes import ALONE, Processes
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.seeding import generator
from smc_bench.engine.shared import (
    SavedOutputs,
    read_features,
    task_code,
    write_features,
    write_outputs,
)
from smc_bench.engine.sparsity_schedule import Timeline, build_timeline
from smc_bench.engine.train import Trainer
from smc_bench.errors import MissingDataError, ModelError
from smc_bench.models.load import load_model, load_tokenizer, quiet_tokenizers
from smc_bench.tasks.base import Encoding, Feature, Row, Task
from smc_bench.tasks.registry import get_task

WEIGHTS = "weights"


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


def run_cell(cell: CellLike, context: RunContext, processes: Processes = ALONE) -> CellOutcome:
    """Train, prune, evaluate and audit one cell; resumes from the newest checkpoint.

    Args:
        cell: What to do.
        context: Inputs, checkpoints, artefacts, progress.
        processes: Those that train it together; this is the main one, the others
            :func:`assist_cell`. They leave when training is over.

    Raises:
        Interrupted: The context asked to stop; a later call goes on from there.
        DivergedError: Loss, saliency or weights are not finite.
        AuditError: The saved weights are not as sparse as the schedule promised.
        MissingDataError: Rows, weights or the teacher are not there.
        PeerLostError: Another process is gone; a later call goes on from the newest checkpoint.
    """
    return _CellRun(cell, context, processes).run()


def assist_cell(cell: CellLike, context: RunContext, processes: Processes) -> None:
    """Train a cell together with the main process, which has the outcome.

    The context is asked for inputs and whether to stop, never to keep anything.

    Raises:
        SmcBenchError: As :func:`run_cell` does.
    """
    _CellRun(cell, context, processes).train()


@dataclass(frozen=True)
class _Trained:
    trainer: Trainer
    timeline: Timeline
    rows: int
    seconds: float


class _CellRun:
    """The state of one call of :func:`run_cell`."""

    def __init__(self, cell: CellLike, context: RunContext, processes: Processes) -> None:
        quiet_tokenizers()
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.cell, self.context, self.recipe = cell, context, cell.recipe
        self.processes = processes
        self.settings: TaskLike = cell.task
        self.task: Task = get_task(self.settings.name)
        self.encoding = Encoding(self.settings.max_length, self.settings.stride)
        self.accelerator = _accelerator(cell.recipe)
        with processes.main_first():
            self.tokenizer = load_tokenizer(context.model_folder())
        self.pad = int(self.tokenizer.pad_token_id or 0)

    def run(self) -> CellOutcome:
        return self._finish(self.train())

    def train(self) -> _Trained:
        split, limit = self.settings.train_split, self.recipe.train.rows
        # What the main process has fetched, tokenised and kept, the others find.
        with self.processes.main_first():
            train_rows = self._rows(split, limit)
            features = self._features(train_rows, split, limit, train=True)
            teacher = self._teacher_outputs(features)
        timeline = build_timeline(self.recipe, self.cell.sparsity, len(features))
        trainer = Trainer(
            self._feed(self._model()),
            features,
            self.recipe,
            timeline,
            seed=self.cell.seed,
            accelerator=self.accelerator,
            context=self.context,
            teacher_outputs=teacher,
            stop_after=self.cell.limit,
            processes=self.processes,
        )
        started = time.monotonic()
        trainer.run()
        seconds = time.monotonic() - started
        self.processes.leave()
        return _Trained(trainer, timeline, len(train_rows), seconds)

    def _finish(self, trained: _Trained) -> CellOutcome:
        trainer, timeline = trained.trainer, trained.timeline
        folder = self._save(trainer.raw)
        weights = read_weights(folder / "model.safetensors")
        reached = trainer.events[-1]["target"] if trainer.events else 0.0
        promised = reached if self.cell.limit else timeline.final_sparsity
        measured = audit(weights, trainer.pruner.masks, trainer.pruner.parts, self.recipe, promised)
        feed = trainer.objective.feed
        metrics: dict[str, float] = {}
        trivial: dict[str, float] = {}
        rows = {self.settings.train_split: trained.rows}
        splits: dict[str, SplitScores] = {}
        for split in self.settings.eval_splits:
            eval_rows = self._rows(split, self.recipe.evaluation.rows)
            scores = self._evaluate(feed, eval_rows, split)
            suffix = self._suffix(split)
            metrics |= {f"{name}{suffix}": value for name, value in scores.metrics.items()}
            constant = self.task.trivial(eval_rows)
            trivial |= {f"{name}{suffix}": value for name, value in constant.items()}
            rows[split] = len(eval_rows)
            splits[split] = SplitScores(list(scores.predictions), list(scores.correct))
        return CellOutcome(
            metrics=metrics,
            trivial=trivial,
            sparsity=measured,
            events=trainer.events,
            total_steps=trainer.total,
            train_features=len(trainer.features),
            rows=rows,
            weights_sha256=_sha256(folder / "model.safetensors"),
            train_seconds=trained.seconds,
            device=str(self.accelerator.device),
            threads=torch.get_num_threads(),
            padding=feed.padding,
            splits=splits,
        )

    def _rows(self, split: str, limit: int | None) -> list[Row]:
        rows = list(self.context.rows(split))
        if not rows:
            raise MissingDataError(f"{self.settings.name}: the split {split!r} has no rows")
        if limit is None or limit >= len(rows):
            return rows
        # The same rows for every seed and every cell, in file order.
        chosen = generator(0, "rows", limit).choice(len(rows), size=limit, replace=False)
        return [rows[index] for index in sorted(chosen)]

    def _features(
        self, rows: Sequence[Row], split: str, limit: int | None, *, train: bool
    ) -> list[Feature]:
        def make(folder: Path) -> None:
            found = self.task.features(rows, self.tokenizer, self.encoding, train=train)
            write_features(folder, found)

        key = {**self._feature_key(limit), "train": train}
        return read_features(self.context.shared("features", split, key, make))

    def _feature_key(self, limit: int | None) -> dict[str, Any]:
        return {
            "task": self.settings.name,
            "code": task_code(self.task),
            "max_length": self.encoding.max_length,
            "stride": self.encoding.stride,
            "limit": limit,
            "tokenizers": tokenizers.__version__,
        }

    def _model(self) -> Any:
        start = self.recipe.train.start_from
        folder = (
            self.context.teacher_folder() if start == "teacher" else self.context.model_folder()
        )
        return self._load(folder, self.recipe.train.dropout)

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

    def _teacher_outputs(self, features: list[Feature]) -> Sequence[HeadArrays] | None:
        """The teacher's logits on every feature, in eval mode: one forward pass for all cells."""
        if self.recipe.distillation is None:
            return None

        def make(folder: Path) -> None:
            teacher = self._feed(self._load(self.context.teacher_folder()))
            write_outputs(folder, self._predict(teacher, features, "teacher"))

        train = self.recipe.train
        key = {
            **self._feature_key(train.rows),
            **self.context.teacher_key(),
            "precision": train.precision,
            "padding": train.padding,
            "batch": self.recipe.evaluation.batch,
            "device": self.accelerator.device.type,
            "torch": torch.__version__,
        }
        folder = self.context.shared("teacher-logits", self.settings.train_split, key, make)
        return SavedOutputs(folder)

    def _feed(self, model: Any) -> Feed:
        return Feed(
            model.to(self.accelerator.device),
            self.task.head,
            self.pad,
            self.accelerator.autocast,
            self.recipe.train.padding,
        )

    def _evaluate(self, feed: Feed, rows: list[Row], split: str) -> Any:
        features = self._features(rows, split, self.recipe.evaluation.rows, train=False)
        outputs = self._predict(feed, features, "evaluate")
        return self.task.score(rows, features, outputs)

    def _predict(self, feed: Feed, features: list[Feature], phase: str) -> list[HeadArrays]:
        def progress(done: int) -> None:
            self.context.progress(Progress(phase, done, len(features)))

        return predict(
            feed,
            features,
            self.recipe.evaluation.batch,
            progress=progress,
            should_stop=self.context.should_stop,
        )

    def _save(self, model: Any) -> Path:
        folder = self.context.artifact(WEIGHTS)
        model.save_pretrained(folder, max_shard_size="1000GB")
        self.tokenizer.save_pretrained(folder)
        return folder

    def _suffix(self, split: str) -> str:
        known = {s.name: s.suffix for s in self.task.spec.eval_splits}
        if split in known:
            return known[split]
        return "" if len(self.settings.eval_splits) == 1 else f"_{split}"


def _accelerator(recipe: Recipe) -> Accelerator:
    # accelerate keeps one state a process; a second cell may want another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    if recipe.train.precision == "auto":
        raise ModelError("train.precision: auto was not replaced; write bf16 or fp32")
    precision = {"fp32": "no"}.get(recipe.train.precision, recipe.train.precision)
    if precision == "fp16" and not torch.cuda.is_available():
        raise ModelError("train.precision: fp16 needs a GPU; write bf16 or fp32")
    return Accelerator(mixed_precision=precision)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
