"""How fast a kind of GPU trains, as ``doctor --gpu`` measured it (kept by ``store/cards.py``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smc_bench.engine.strict import Strict

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Rate(Strict):
    """How fast one shape of model trained.

    Attributes:
        model: Whose shape it was; its weights were random.
        precision: Of forward and backward passes.
        batch: Sequences a step.
        steps_per_second: Optimizer steps.
        tokens: Tokens a step.
        squares: Sum over a step's sequences of their squared lengths.
        memory: The most that was taken, in bytes.
    """

    model: str
    precision: str
    batch: int = Field(gt=0)
    steps_per_second: _Positive
    tokens: _Positive
    squares: _Positive
    memory: int = Field(ge=0)


class Card(Strict):
    """A kind of GPU.

    Attributes:
        name: As torch has it.
        driver: Version of NVIDIA's driver, or None where it is not known.
        torch: Version of torch.
        measured: When, UTC.
        rates: One a shape.
    """

    name: str
    driver: str | None
    torch: str
    measured: str
    rates: tuple[Rate, ...]

    def rate(self, model: str, precision: str) -> Rate | None:
        """How fast a model of this name's shape trains in this precision, if that was measured."""
        found = (r for r in self.rates if (r.model, r.precision) == (model, precision))
        return next(found, None)
