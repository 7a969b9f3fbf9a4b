"""The training loop: optimizer steps, pruning events, masks held, checkpoints on a timer.

A loop on accelerate (device, autocast, loss scaler) rather than transformers' Trainer: what matters
here (events between steps, masks after every step, a learning rate that rewinds, resume to the bit
without random state) would each be a callback that works against the Trainer's own schedule, order
and checkpoints. Model and optimizer are not "prepared" by accelerate: it would put autocast into
the model's own ``forward``, where float32 statistics of scorers and evaluation would meet it too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.utils import clip_grad_norm_

from smc_bench.engine.checkpoint import load_checkpoint, save_checkpoint
from smc_bench.engine.context import Progress, RunContext
from smc_bench.engine.loss.batches import Batches, feature_length
from smc_bench.engine.loss.distributed import ALONE, Processes
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.loss.predict import HeadArrays
from smc_bench.engine.loss.scaling import LossScaling
from smc_bench.engine.pruning.layers import LayerHistory
from smc_bench.engine.pruning.methods.base import Step
from smc_bench.engine.pruning.pruner import Pruner
from smc_bench.engine.recipe import Recipe, Training
from smc_bench.engine.schedules.durations import to_seconds
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import Timeline
from smc_bench.engine.seeding import seed_step
from smc_bench.errors import DivergedError, Interrupted
from smc_bench.tasks.base import Feature


def make_optimizer(model: nn.Module, train: Training) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, not on biases and LayerNorm (arXiv 1810.04805, A.2)."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": train.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=0.0,
        betas=(train.beta1, train.beta2),
        eps=train.epsilon,
        fused=True,
    )


class Trainer:
    """Trains one model along one timeline; resumable between any two optimizer steps."""

    def __init__(
        self,
        feed: Feed,
        features: Sequence[Feature],
        recipe: Recipe,
        timeline: Timeline,
        *,
        seed: int,
        accelerator: Accelerator,
        context: RunContext,
        teacher_outputs: Sequence[HeadArrays] | None = None,
        teacher: Feed | None = None,
        stop_after: int | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """Make the optimizer and the masks; restores the newest checkpoint if there is one.

        Args:
            feed: The model, its autocast, and how it takes batches.
            features: All training features.
            recipe: How to train and prune.
            timeline: Steps and pruning events.
            seed: The cell's seed.
            accelerator: Has the loss scaler, where the precision needs one.
            context: Checkpoints, progress, whether to stop.
            teacher_outputs: The teacher's logits of each feature.
            teacher: The teacher itself, where its logits are not kept.
            stop_after: Cut training short after so many steps.
            processes: Who trains together.
        """
        self.recipe, self.timeline, self.seed = recipe, timeline, seed
        self.features, self.context = features, context
        self.scaling = LossScaling(accelerator.scaler)
        self.processes = processes
        self.total = min(timeline.total_steps, stop_after or timeline.total_steps)
        self.raw = feed.model
        self.optimizer = make_optimizer(self.raw, recipe.train)
        self.objective = Objective(
            feed,
            features,
            distillation=recipe.distillation,
            teacher_outputs=teacher_outputs,
            teacher=teacher,
        )
        self.pruner = Pruner(
            self.raw,
            recipe,
            timeline,
            seed,
            self.objective,
            self.optimizer,
            self.total,
            self._scoring,
            processes,
        )
        self.layers = LayerHistory(
            {name: parameter.numel() for name, parameter in self.pruner.parameters.items()},
            [event.step for event in timeline.events if event.step <= self.total],
        )
        self.step, self.reused = 0, 0
        self.prefix_key = ""
        self.events: list[dict[str, float]] = []
        lengths = [feature_length(feature) for feature in features]
        grouped = recipe.train.batching == "grouped"
        self.batches = Batches(lengths, recipe.train.batch, seed, grouped=grouped)
        self.micro_batch = context.execution.micro_batch or recipe.train.batch
        self._restore()
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Train to the end of the timeline.

        Raises:
            Interrupted: If asked to stop; the state is then on disk.
            DivergedError: If the loss is not finite.
        """
        self._check_same("before training")
        self.reach(self.total)
        # An event may fall on the very end: pruned, with no training after it.
        self._prune_if_due()
        self._check_same("after training")

    def reach(self, goal: int) -> None:
        """Train until ``goal`` steps are taken; an event that is due then is not yet taken.

        Raises:
            Interrupted: If asked to stop; the state is then on disk.
            DivergedError: If the loss is not finite.
        """
        self.raw.train()
        interval = to_seconds(self.context.execution.checkpoint_every)
        while self.step < goal:
            if self._asked_to_stop():
                self._save()
                raise Interrupted(f"stopped at step {self.step} of {self.total}")
            self._prune_if_due()
            loss = self._take_step()
            self.step += 1
            self._report(loss)
            # The others go on meanwhile, up to the next sum of gradients.
            if time.monotonic() - self._saved_at >= interval and self.step < self.total:
                self._save()

    def _asked_to_stop(self) -> bool:
        """Whether any process was asked to: all stop at the same step."""
        return self.processes.any(self.context.should_stop())

    def _check_same(self, when: str) -> None:
        if self.processes.count > 1:
            self.processes.check_same({**self.raw.state_dict(), **self.pruner.state()}, when)

    def _prune_if_due(self) -> None:
        done = {int(event["step"]) for event in self.events}
        for event in self.timeline.events:
            if event.step == self.step and event.step not in done:
                self.events.append(self.pruner.prune(event))
                self.layers.note(event.step, event.sparsity, self.pruner.masks)
                self._check_same(f"after the pruning event at step {self.step}")

    def _scoring(self, done: int, count: int) -> None:
        """Between two batches of a scorer: tell, and stop if asked to.

        The event is then taken anew from the newest checkpoint: half an event is no state to keep.
        """
        self.context.progress(Progress("score", done, count))
        if self._asked_to_stop():
            raise Interrupted(f"stopped while scoring at step {self.step} of {self.total}")

    def _take_step(self) -> float:
        rate = learning_rate(self.recipe, self.timeline, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        indices = self.batches[self.step]
        value = 0.0
        parts = self.processes.parts(indices, self.micro_batch, self.objective.weight)
        for micro, part, share in parts:
            seed_step(self.seed, self.step, micro)
            loss = self.objective.loss(part) * share
            self.scaling.backward(loss)
            value += float(loss.detach())
        value = self.processes.sum(value)
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss is {value} at step {self.step}: a lower learning rate or precision: "
                "fp32 may help"
            )
        self.processes.sum_gradients(self.raw.parameters())
        if self.scaling.unscale(self.optimizer):
            self._move(rate)
        self.scaling.update()
        self.optimizer.zero_grad()
        return value

    def _move(self, rate: float) -> None:
        """Change weights (or masks, where the method does so) by gradients, whole and finite."""
        clip, over = self.recipe.train.clip, self.recipe.train.clip_over
        method, over_kept = self.pruner.method, clip is not None and over == "kept"
        step = Step(self.step, rate / self.recipe.lr_schedule.peak, over_kept, self.optimizer)
        if method.replaces_step(step):
            return
        if clip is not None and over == "all":
            clip_grad_norm_(self.raw.parameters(), clip)
        # Without clipping, gradients of pruned weights do not touch the weights that stay.
        method.take_gradients(step)
        if clip is not None and over == "kept":
            clip_grad_norm_([*self.raw.parameters(), *method.learned], clip)
        method.before_step(step)
        self.optimizer.step()
        method.after_step(step)

    def _report(self, loss: float) -> None:
        rate = float(self.optimizer.param_groups[0]["lr"])
        sparsity = self.timeline.sparsity_at(self.step - 1)
        self.context.progress(Progress("train", self.step, self.total, loss, rate, sparsity))

    def _save(self) -> None:
        if not self.processes.main:
            return
        folder = self.context.checkpoint_folder(self.step)
        self.write(folder)
        self.context.commit_checkpoint(folder)
        self._saved_at = time.monotonic()

    def write(self, folder: Path) -> None:
        """Write the whole state of training into an empty folder."""
        numbers = {
            "step": self.step,
            "events": self.events,
            "layers": self.layers.state(),
            "reached": self.pruner.reached,
            "spared": self.reused,
            "beginning": self.prefix_key,
            "scaler": self.scaling.state(),
        }
        save_checkpoint(folder, self.raw, self.optimizer, self.pruner, numbers)

    def _restore(self) -> None:
        newest = self.context.newest_checkpoint() if self.processes.main else None
        folder = self.processes.from_main(None if newest is None else str(newest))
        if folder is not None:
            self.reused = int(self._load(Path(folder)).get("spared", 0))

    def begins_as(self, key: str) -> bool:
        """Whether all steps so far were taken under the conditions that ``key`` names.

        Known of a training that asks before its first step; checkpoints keep it.
        """
        if self.step == 0:
            self.prefix_key = key
        return self.prefix_key == key

    def take(self, folder: Path) -> None:
        """Go on from a state that another cell has written: its steps are reused here."""
        before = self.step
        self._load(folder)
        self.reused += self.step - before

    def _load(self, folder: Path) -> dict[str, Any]:
        numbers = load_checkpoint(folder, self.raw, self.optimizer, self.pruner)
        self.step, self.events = int(numbers["step"]), list(numbers["events"])
        self.layers.load(numbers.get("layers", []))
        self.prefix_key = str(numbers.get("beginning", ""))
        self.scaling.load(numbers["scaler"])
        return numbers
