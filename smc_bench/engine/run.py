"""The one way into the engine: a cell and a context in, an outcome out."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from smc_bench.engine.cell_like import CellLike
from smc_bench.engine.context import HELD_BACK, Constancy, RunContext, SplitScores
from smc_bench.engine.inputs import CellInputs
from smc_bench.engine.loss.constancy import TRAINING_ROWS, constancy, evenly
from smc_bench.engine.loss.distributed import ALONE, Processes
from smc_bench.engine.outcome import CellOutcome, PredictedSpeed
from smc_bench.engine.prefix import PREFIX, prefix_content, prefix_steps
from smc_bench.engine.pruning.audit import (
    Claims,
    audit,
    left_by_tensor,
    read_weights,
    zeros_by_tensor,
)
from smc_bench.engine.pruning.layers import FILE as LAYERS
from smc_bench.engine.pruning.model_units import ModelUnits, units_of
from smc_bench.engine.pruning.speed import left_by_layer
from smc_bench.engine.schedules.sparsity import Timeline, build_timeline
from smc_bench.engine.seeding import use_deterministic_kernels
from smc_bench.engine.trainer import Trainer
from smc_bench.models.components import component_map
from smc_bench.models.conv1d import as_stored, save_model
from smc_bench.models.head_paths import head_paths

_log = logging.getLogger(__name__)

WEIGHTS = "weights"
_WEIGHTS_FILE = "model.safetensors"


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
        RankLostError: Another process is gone; a later call goes on from the newest checkpoint.
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
    born: dict[str, int]


class _CellRun:
    """The state of one call of :func:`run_cell`."""

    def __init__(self, cell: CellLike, context: RunContext, processes: Processes) -> None:
        use_deterministic_kernels()
        self.cell, self.context, self.recipe = cell, context, cell.recipe
        self.processes = processes
        with processes.main_first():
            self.inputs = CellInputs(cell, context)
        self.task = self.inputs.task

    def run(self) -> CellOutcome:
        return self._finish(self.train())

    def train(self) -> _Trained:
        inputs = self.inputs
        # What the main process has fetched, tokenised and kept, the others find.
        with self.processes.main_first():
            rows, features = inputs.training()
            outputs = inputs.teacher_outputs(features)
        timeline = build_timeline(self.recipe, self.cell.sparsity, len(features))
        model = inputs.model()
        born = zeros_by_tensor(dict(model.named_parameters()), component_map(model))
        trainer = Trainer(
            inputs.feed(model),
            features,
            self.recipe,
            timeline,
            seed=self.cell.seed,
            accelerator=inputs.accelerator,
            context=self.context,
            teacher_outputs=outputs,
            teacher=inputs.live_teacher(),
            stop_after=self.cell.limit,
            processes=self.processes,
        )
        started = time.monotonic()
        waited = self._share_prefix(trainer, timeline)
        trainer.run()
        seconds = time.monotonic() - started - waited
        self.processes.leave()
        return _Trained(trainer, timeline, len(rows), seconds, born)

    def _share_prefix(self, trainer: Trainer, timeline: Timeline) -> float:
        """Come to the first pruning event by what another cell has trained, or train it for all.

        Returns:
            Seconds that were no training: waiting, reading, writing.
        """
        steps = prefix_steps(self.recipe, timeline, self.cell.limit)
        alone = self.processes.count == 1
        if not (alone and self.context.shares_prefix() and trainer.step < steps):
            return 0.0
        key = self.inputs.prefix_key(prefix_content(self.recipe, timeline), trainer.micro_batch)
        # What was begun under other conditions (versions, micro-batch, processor) is this cell's.
        if not trainer.begins_as(json.dumps(key, sort_keys=True)):
            return 0.0
        started, trained = time.monotonic(), 0.0

        def make(folder: Path) -> None:
            nonlocal trained
            began = time.monotonic()
            trainer.reach(steps)
            trained += time.monotonic() - began
            trainer.write(folder)

        try:
            folder = self.context.shared(PREFIX, self.cell.task.train_split, key, make)
        except (OSError, SafetensorError) as error:
            if trainer.step < steps:
                raise
            # Such as a full disk: what is not kept for others is still there for this cell.
            _log.warning("the shared prefix is not kept for other cells: %s", error)
        if trainer.step < steps:
            trainer.take(folder)
        return time.monotonic() - started - trained

    def _finish(self, trained: _Trained) -> CellOutcome:
        trainer, timeline = trained.trainer, trained.timeline
        folder = self._save(trainer.raw)
        weights = as_stored(trainer.raw, read_weights(folder / _WEIGHTS_FILE))
        pruner, units = trainer.pruner, units_of(trainer.raw, self.recipe)
        measured = audit(
            weights,
            pruner.parts,
            self.recipe,
            timeline.sparsity_at(trainer.total),
            trained.born,
            Claims(pruner.masks, pruner.method.natural_zeros(trainer.optimizer)),
            units,
        )
        feed = trainer.objective.feed
        metrics: dict[str, float] = {}
        trivial: dict[str, float] = {}
        rows = {self.cell.task.train_split: trained.rows}
        splits: dict[str, SplitScores] = {}
        checks = {self.cell.task.train_split: self._check_training(trainer)}
        for split in self.cell.task.eval_splits:
            eval_rows, features = self.inputs.evaluation(split)
            outputs = self.inputs.answers(feed, features)
            scores = self.task.score(eval_rows, features, outputs)
            named = HELD_BACK if self.cell.task.held_back else split
            checks[named] = constancy(outputs, self.task.head)
            suffix = self._suffix(split)
            metrics |= {f"{name}{suffix}": value for name, value in scores.metrics.items()}
            constant = self.task.baseline(
                eval_rows, features, outputs, trainer.features, feed.vocabulary
            )
            trivial |= {f"{name}{suffix}": value for name, value in constant.items()}
            rows[named] = len(eval_rows)
            splits[named] = SplitScores(
                list(scores.predictions),
                list(scores.correct),
                list(scores.gold),
                list(scores.weights),
            )
        trainer.layers.write(self.context.artifact(LAYERS))
        hashes = {path.name: _sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
        return CellOutcome.checked(
            metrics=metrics,
            trivial=trivial,
            sparsity=measured,
            events=trainer.events,
            total_steps=trainer.total,
            prefix_steps=trainer.reused,
            train_features=len(trainer.features),
            rows=rows,
            outputs=checks,
            weights_left=left_by_tensor(weights, trainer.pruner.parts),
            head_paths=head_paths(trainer.raw, weights),
            weights_sha256=hashes.pop(_WEIGHTS_FILE),
            files_sha256=hashes,
            train_seconds=trained.seconds,
            device=str(self.inputs.accelerator.device),
            threads=torch.get_num_threads(),
            padding=feed.padding,
            splits=splits,
            predicted=self._predicted(units, weights),
        )

    def _predicted(
        self, units: ModelUnits | None, weights: dict[str, Tensor]
    ) -> PredictedSpeed | None:
        target = self.recipe.target
        if units is None or target is None:
            return None
        table = target.measured
        dead = units.dead({name: tensor == 0 for name, tensor in weights.items()})
        return PredictedSpeed(
            speedup=table.dense / table.predicted(left_by_layer(dead, units)),
            table_sha256=table.sha256,
        )

    def _check_training(self, trainer: Trainer) -> Constancy:
        """Whether the trained model tells some of its training sequences apart."""
        some = [trainer.features[i] for i in evenly(len(trainer.features), TRAINING_ROWS)]
        outputs = self.inputs.predict(trainer.objective.feed, some, "evaluate")
        return constancy(outputs, self.task.head)

    def _save(self, model: Any) -> Path:
        folder = self.context.artifact(WEIGHTS)
        save_model(model, folder)
        self.inputs.tokenizer.save_pretrained(folder)
        return folder

    def _suffix(self, split: str) -> str:
        known = {s.name: s.suffix for s in self.task.spec.eval_splits}
        if split in known:
            return known[split]
        return "" if len(self.cell.task.eval_splits) == 1 else f"_{split}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
