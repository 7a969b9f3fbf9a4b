"""Scorers: (weights, statistics) -> saliency; the least salient weights are pruned first.

The simple ones are here; those with more to say have a module of their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.seeding import derived_seed
from smc_bench.errors import SuiteError

Weights: TypeAlias = Mapping[str, Tensor]
"""Prunable tensors by name."""

Saliency: TypeAlias = dict[str, Tensor]
"""For each tensor one of the same shape; larger means more worth keeping."""


class Evidence(Protocol):
    """What a scorer may ask of the model; :class:`pruning.calibration.Calibration` answers."""

    def gradients(
        self, names: Sequence[str], count: int, batch: int, *, train: bool
    ) -> Iterator[dict[str, Tensor]]:
        """Mini-batch gradients of the task loss, the same batches at each call."""

    def input_moments(self, names: Sequence[str], count: int, batch: int) -> dict[str, Tensor]:
        """Mean of x xT (in, in) of the inputs of Linear layers."""

    def gate_means(
        self, units: ModelUnits, count: int, batch: int, power: int
    ) -> dict[str, Tensor]:
        """Mean over rows of |dL_x/dxi_S|^power of each unit, by group."""

    def epoch_batches(self, batch: int) -> int:
        """Mini-batches of one epoch."""


@dataclass(frozen=True)
class Statistics:
    """What a scorer may look at besides the weights.

    Attributes:
        seed: The cell's seed.
        step: Optimizer step of the pruning event.
        options: The recipe's ``scorer_options``, checked and complete.
        masks: Masks in force (True: stays); a tensor without one is dense.
        structure: ``unstructured``, ``block4`` or ``N:M``: what is kept or pruned as one.
        units: Whole units that are removed as one, where the recipe does that.
        batch: Training batch of the recipe, for scorers that have none of their own.
        evidence: Gradients and activations of the model.
    """

    seed: int
    step: int
    options: Mapping[str, Any]
    masks: Masks = field(default_factory=dict)
    structure: str = "unstructured"
    batch: int = 32
    evidence: Evidence | None = None
    units: ModelUnits | None = None

    def gradients(
        self, names: Sequence[str], count: int, batch: int, *, train: bool
    ) -> Iterator[dict[str, Tensor]]:
        """See :meth:`Evidence.gradients`."""
        return self._evidence().gradients(names, count, batch, train=train)

    def input_moments(self, names: Sequence[str], count: int, batch: int) -> dict[str, Tensor]:
        """See :meth:`Evidence.input_moments`."""
        return self._evidence().input_moments(names, count, batch)

    def gate_means(self, count: int, batch: int, power: int) -> dict[str, Tensor]:
        """See :meth:`Evidence.gate_means`."""
        return self._evidence().gate_means(self.removable(), count, batch, power)

    def removable(self) -> ModelUnits:
        """The units; for scorers that a recipe may name only where it removes units."""
        if self.units is None:
            raise ValueError("these statistics are of a structure without whole units")
        return self.units

    def epoch_batches(self, batch: int) -> int:
        """See :meth:`Evidence.epoch_batches`."""
        return self._evidence().epoch_batches(batch)

    def _evidence(self) -> Evidence:
        if self.evidence is None:
            raise ValueError("these statistics were made without a model to ask")
        return self.evidence


@dataclass(frozen=True)
class Scored:
    """A saliency together with what is to be done to the weights once the masks are chosen.

    Attributes:
        saliency: As for plain scorers.
        compensate: Changes the remaining weights in place to make up for those that go; called
            with the new masks, before pruned weights are set to zero.
    """

    saliency: Saliency
    compensate: Callable[[Masks], None] | None = None


Scorer: TypeAlias = Callable[[Weights, Statistics], "Saliency | Scored"]


def magnitude(weights: Weights, statistics: Statistics) -> Saliency:
    """Saliency |w| (arXiv 1506.02626)."""
    return {name: weight.detach().abs() for name, weight in weights.items()}


def random(weights: Weights, statistics: Statistics) -> Saliency:
    """Uniform noise, other at each event; the same on every device."""
    noise = torch.Generator().manual_seed(
        derived_seed(statistics.seed, "random-scorer", statistics.step)
    )
    return {
        name: torch.rand(weight.shape, generator=noise).to(weight.device)
        for name, weight in weights.items()
    }


def snip(weights: Weights, statistics: Statistics) -> Saliency:
    """|w g| on a few mini-batches (arXiv 1810.02340, eq. 6; its normalisation changes no order)."""
    names, options = list(weights), statistics.options
    batch = options["batch"] or statistics.batch
    found = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for gradients in statistics.gradients(names, options["batches"], batch, train=True):
        for name in names:
            found[name] += gradients[name] / options["batches"]
    return {name: (weights[name].detach() * found[name]).abs() for name in names}


def wanda(weights: Weights, statistics: Statistics) -> Saliency:
    """|w_ij| times the root mean square of input j (arXiv 2306.11695, eq. 1)."""
    options = statistics.options
    moments = statistics.input_moments(list(weights), options["batches"], options["batch"])
    return {n: w.detach().abs() * moments[n].diagonal().sqrt() for n, w in weights.items()}


def load_scorer(name: str) -> Scorer:
    """The function behind a registered name.

    Raises:
        SuiteError: If the registry's entry leads nowhere.
    """
    module, _, function = SCORERS[name].function.partition(":")
    try:
        scorer: Scorer = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SuiteError(
            f"scorer {name!r}: {SCORERS[name].function} can't be loaded: {error}"
        ) from None
    return scorer
