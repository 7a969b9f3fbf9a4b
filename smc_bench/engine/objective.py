"""What is minimised: batches of features to the loss of one model, with or without distillation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smc_bench.engine.losses import head_outputs, total_loss
from smc_bench.engine.predict import HeadArrays, model_inputs
from smc_bench.engine.recipe import Distillation
from smc_bench.tasks.base import Feature, Head
from smc_bench.tasks.collate import collate

Indices: TypeAlias = Sequence[int] | NDArray[np.int64]
"""Which features make up a batch."""


class Objective:
    """The loss of a model on chosen features; holds data and teacher, no state of training."""

    def __init__(
        self,
        model: Any,
        features: Sequence[Feature],
        *,
        head: Head,
        pad_token_id: int,
        autocast: Callable[[], Any],
        distillation: Distillation | None = None,
        teacher_outputs: Sequence[HeadArrays] | None = None,
    ) -> None:
        """Bind a model to its training data.

        Args:
            model: Unwrapped model; its device and configuration decide the inputs.
            features: All training features.
            head: Kind of head.
            pad_token_id: Fills shorter sequences of a batch.
            autocast: Context in which forward passes run.
            distillation: How teacher and task are weighed, or None for the task alone.
            teacher_outputs: The teacher's logits of each feature.
        """
        self.model, self.features, self.head = model, features, head
        self.pad_token_id, self.autocast = pad_token_id, autocast
        self.distillation, self.teacher_outputs = distillation, teacher_outputs

    def loss(self, forward: Any, indices: Indices) -> Tensor:
        """Mean loss over the features ``indices``, in float32.

        Args:
            forward: The model, or what accelerate wrapped around it.
            indices: Which features make up the batch.
        """
        return self._loss(forward, indices, self.distillation)

    def task_loss(self, indices: Indices) -> Tensor:
        """The task's own loss alone, without the teacher, in float32 without autocast.

        oBERT's Fisher takes its gradients (sparseml ``outputs["loss"]``, not the KD loss).
        """
        return self._loss(self.model, indices, None, autocast=False)

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        """A padded batch on the model's device, without targets."""
        return model_inputs(self.model, self._batch(indices))

    def _batch(self, indices: Indices) -> dict[str, Tensor]:
        chosen = [self.features[index] for index in indices]
        return collate(chosen, pad_token_id=self.pad_token_id, head=self.head)

    def _loss(
        self,
        forward: Any,
        indices: Indices,
        distillation: Distillation | None,
        *,
        autocast: bool = True,
    ) -> Tensor:
        batch = self._batch(indices)
        inputs = model_inputs(self.model, batch)
        if autocast:
            with self.autocast():
                outputs = forward(**inputs)
        else:
            outputs = forward(**inputs)
        heads = head_outputs(outputs, self.head, inputs["attention_mask"])
        device = heads[0].logits.device
        targets = [target.to(device) for target in _targets(batch, self.head)]
        teacher = None if distillation is None else self._teacher(indices, heads[0].logits)
        return total_loss(heads, targets, teacher, distillation)

    def _teacher(self, indices: Indices, like: Tensor) -> list[Tensor] | None:
        if self.teacher_outputs is None:
            return None
        rows = [self.teacher_outputs[index] for index in indices]
        stacked = []
        for head in range(len(rows[0])):
            padded = np.zeros((len(rows), like.shape[-1]), dtype=np.float32)
            for at, row in enumerate(rows):
                padded[at, : len(row[head])] = row[head]
            stacked.append(torch.from_numpy(padded).to(like.device))
        return stacked


def _targets(batch: dict[str, Tensor], head: Head) -> list[Tensor]:
    if head == "question_answering":
        return [batch["start_positions"], batch["end_positions"]]
    return [batch["labels"]]
