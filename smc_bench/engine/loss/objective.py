"""What is minimised: batches of features to the loss of one model, with or without distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smc_bench.engine.loss.losses import total_loss
from smc_bench.engine.loss.model_inputs import Batch, Feed
from smc_bench.engine.loss.predict import HeadArrays
from smc_bench.engine.recipe import Distillation
from smc_bench.tasks.base import Feature

Indices: TypeAlias = Sequence[int] | NDArray[np.int64]
"""Which features make up a batch."""


class Objective:
    """The loss of a model on chosen features; holds data and teacher, no state of training."""

    def __init__(
        self,
        feed: Feed,
        features: Sequence[Feature],
        *,
        distillation: Distillation | None = None,
        teacher_outputs: Sequence[HeadArrays] | None = None,
        teacher: Feed | None = None,
    ) -> None:
        """Bind a model to its training data.

        Args:
            feed: The model and how it takes batches.
            features: All training features.
            distillation: How teacher and task are weighed, or None for the task alone.
            teacher_outputs: The teacher's logits of each feature.
            teacher: The teacher itself, in eval mode, where its logits are too many to keep.
        """
        self.feed, self.features = feed, features
        self.distillation, self.teacher_outputs = distillation, teacher_outputs
        self.teacher = teacher

    @property
    def model(self) -> Any:
        """The model."""
        return self.feed.model

    def loss(self, indices: Indices) -> Tensor:
        """Mean loss over the features ``indices``: logits in training's precision, loss in float32.

        For a language model it is the mean over their scored tokens.

        Args:
            indices: Which features make up the batch.
        """
        batch = self.batch(indices)
        heads = self.feed.heads(batch)
        teacher = None if self.distillation is None else self._teacher(indices, heads[0].logits)
        return total_loss(heads, batch.targets, teacher, self.distillation)

    def weight(self, indices: Indices) -> int:
        """How much the mean over these features counts in that over more: features, or tokens."""
        return self.feed.weight([self.features[int(index)] for index in indices])

    def task_loss(self, indices: Indices) -> Tensor:
        """The task's own loss alone, without the teacher, in float32 without autocast.

        oBERT's Fisher takes its gradients (sparseml ``outputs["loss"]``, not the KD loss).
        """
        batch = self.batch(indices)
        return total_loss(self.feed.heads(batch, autocast=False), batch.targets, None, None)

    def batch(self, indices: Indices) -> Batch:
        """The features ``indices`` on the model's device."""
        return self.feed.batch([self.features[int(index)] for index in indices])

    @torch.no_grad()
    def _asked(self, teacher: Feed, indices: Indices) -> list[Tensor]:
        """What a live teacher says now, as it would have been kept: float32, in eval mode."""
        batch = teacher.batch([self.features[int(index)] for index in indices])
        return [head.logits for head in teacher.heads(batch, autocast=False)]

    def _teacher(self, indices: Indices, like: Tensor) -> list[Tensor] | None:
        if self.teacher is not None:
            return self._asked(self.teacher, indices)
        if self.teacher_outputs is None:
            return None
        rows = [self.teacher_outputs[int(index)] for index in indices]
        stacked = []
        for head in range(len(rows[0])):
            padded = np.zeros((len(rows), like.shape[-1]), dtype=np.float32)
            for at, row in enumerate(rows):
                padded[at, : len(row[head])] = row[head]
            stacked.append(torch.from_numpy(padded).to(like.device))
        return stacked
