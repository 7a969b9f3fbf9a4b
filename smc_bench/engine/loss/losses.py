"""Task and distillation losses over a model's heads; padding has no part in any softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor

from smc_bench.engine.recipe import Distillation


@dataclass(frozen=True)
class HeadOutput:
    """Logits of one head, (rows, classes), and which entries are real (None: all)."""

    logits: Tensor
    real: Tensor | None = None


def log_probabilities(head: HeadOutput, temperature: float = 1.0) -> Tensor:
    """Log softmax(logits / T) over real entries, in float32; -inf on padding."""
    logits = head.logits / temperature
    if head.real is not None:
        logits = logits.masked_fill(~head.real, float("-inf"))
    return F.log_softmax(logits, dim=-1)


def task_loss(heads: Sequence[HeadOutput], targets: Sequence[Tensor]) -> Tensor:
    """Mean over rows and heads of cross-entropy; squared error for a head with one output."""
    losses = []
    for head, target in zip(heads, targets, strict=True):
        if head.logits.shape[-1] == 1:
            losses.append(F.mse_loss(head.logits.squeeze(-1), target.float()))
        else:
            losses.append(F.nll_loss(log_probabilities(head), target))
    return torch.stack(losses).mean()


def distillation_loss(
    student: Sequence[HeadOutput], teacher: Sequence[Tensor], temperature: float
) -> Tensor:
    """T^2 KL(teacher || student), mean over rows, averaged over heads.

    Restates sparseml's ``kldiv_loss`` (arXiv 1503.02531 section 2.1 for the factor T^2): for spans
    the softmax runs over the window's positions and start and end are averaged. A head with one
    output (regression) has no distribution: there it is the squared difference, without T.
    """
    losses = []
    for head, logits in zip(student, teacher, strict=True):
        if head.logits.shape[-1] == 1:
            losses.append(F.mse_loss(head.logits, logits))
            continue
        ours = log_probabilities(head, temperature)
        theirs = log_probabilities(HeadOutput(logits, head.real), temperature)
        terms = theirs.exp() * (theirs - ours)
        if head.real is not None:
            # 0 (-inf + inf) on padding is not a number; the limit of p log p is 0.
            terms = terms.masked_fill(~head.real, 0.0)
        losses.append(temperature**2 * terms.sum(-1).mean())
    return torch.stack(losses).mean()


def total_loss(
    heads: Sequence[HeadOutput],
    targets: Sequence[Tensor],
    teacher: Sequence[Tensor] | None,
    distillation: Distillation | None,
) -> Tensor:
    """(1 - hardness) task + hardness KD, or the task's alone without distillation."""
    if distillation is None or teacher is None:
        return task_loss(heads, targets)
    soft = distillation_loss(heads, teacher, distillation.temperature)
    if distillation.hardness == 1.0:
        return soft
    return (1.0 - distillation.hardness) * task_loss(heads, targets) + distillation.hardness * soft
