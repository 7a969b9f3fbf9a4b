from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr

from smc_bench.engine.loss.losses import HeadOutput, distillation_loss, task_loss, total_loss
from smc_bench.engine.recipe import Distillation


def test_distillation_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, theirs, temperature = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), 5.5
    p = np.exp(log_softmax(theirs / temperature, axis=1))
    q = np.exp(log_softmax(ours / temperature, axis=1))
    expected = temperature**2 * rel_entr(p, q).sum(1).mean()
    found = distillation_loss([HeadOutput(torch.tensor(ours))], [torch.tensor(theirs)], temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_padding_has_no_part_in_span_losses() -> None:
    torch.manual_seed(0)
    short, teacher = torch.randn(2, 5), torch.randn(2, 5)
    pad = torch.full((2, 3), 7.0)
    real = torch.tensor([[True] * 5 + [False] * 3] * 2)
    long = HeadOutput(torch.cat([short, pad], 1), real)
    target = torch.tensor([1, 4])
    assert float(task_loss([long], [target])) == pytest.approx(
        float(task_loss([HeadOutput(short)], [target]))
    )
    loss = distillation_loss([long], [torch.cat([teacher, pad], 1)], 2.0)
    assert float(loss) == pytest.approx(
        float(distillation_loss([HeadOutput(short)], [teacher], 2.0))
    )


def test_start_and_end_are_averaged_and_hardness_mixes() -> None:
    torch.manual_seed(1)
    heads = [HeadOutput(torch.randn(3, 6)) for _ in range(2)]
    teacher = [torch.randn(3, 6) for _ in range(2)]
    targets = [torch.tensor([0, 1, 2])] * 2
    soft = [distillation_loss([h], [t], 2.0) for h, t in zip(heads, teacher, strict=True)]
    hard = task_loss(heads, targets)
    mixed = total_loss(heads, targets, teacher, Distillation(hardness=0.25, temperature=2.0))
    assert float(mixed) == pytest.approx(float(0.75 * hard + 0.25 * (soft[0] + soft[1]) / 2))


def test_gradient_through_padding_is_finite() -> None:
    logits = torch.randn(2, 4, requires_grad=True)
    real = torch.tensor([[True, True, False, False]] * 2)
    distillation_loss([HeadOutput(logits, real)], [torch.randn(2, 4)], 5.5).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[:, 2:].abs().sum() == 0
