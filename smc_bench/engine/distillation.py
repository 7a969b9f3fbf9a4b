"""Settings of distillation. No torch here."""

from __future__ import annotations

from pydantic import Field

from smc_bench.engine.strict import Strict


class Distillation(Strict):
    """Loss = (1 - hardness) task + hardness T^2 KL(teacher || student), both softened by T.

    Source: arXiv 1503.02531 section 2; ``hardness`` and ``temperature`` as sparseml names them.

    Attributes:
        hardness: Weight of the teacher's loss, 0..1. 1.0 in arXiv 2312.13547.
        temperature: T, which softens the logits of teacher and student. 5.5 in arXiv 2312.13547.
    """

    hardness: float = Field(1.0, ge=0.0, le=1.0)
    temperature: float = Field(5.5, gt=0.0)
