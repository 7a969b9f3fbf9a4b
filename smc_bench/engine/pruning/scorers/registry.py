"""Scorers by name, without torch: version, options, source, and where the code is.

A scorer is a function (weights, statistics) -> saliency; see docs/extend.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field

from smc_bench.engine import registering
from smc_bench.engine.pruning.obert.options import ObertOptions
from smc_bench.engine.registering import where
from smc_bench.engine.strict import Strict


class NoOptions(Strict):
    """For scorers that have nothing to set."""


class SnipOptions(Strict):
    """One mini-batch of the training batch's size, as the paper and SMC-Bench take it.

    Attributes:
        batches: Mini-batches whose gradients are averaged.
        batch: Rows of a mini-batch; null takes ``train.batch``.
    """

    batches: int = Field(1, ge=1)
    batch: int | None = Field(None, ge=1)


class CalibrationOptions(Strict):
    """Rows that activations are taken on: 128, as arXiv 2306.11695 and 2301.00774 do.

    Attributes:
        batches: Calibration batches.
        batch: Rows of a calibration batch.
    """

    batches: int = Field(8, ge=1)
    batch: int = Field(16, ge=1)


class TaylorOptions(Strict):
    """Rows whose losses are differentiated, and how units of a layer compare with others.

    Attributes:
        batches: Batches. arXiv 1905.10650 takes the whole training split.
        batch: Rows of a batch; each counts by itself.
        squared: Mean squares of the derivatives (arXiv 1906.10771) in place of absolute values.
        normalise: ``layer`` divides by the l2 norm over a layer's units of the same kind (arXiv
            1905.10650); ``none`` does not.
    """

    batches: int = Field(32, ge=1)
    batch: int = Field(16, ge=1)
    squared: bool = False
    normalise: Literal["layer", "none"] = "layer"


class MovementOptions(Strict):
    """Learned scores.

    Attributes:
        score_lr: Learning rate of the scores. 1e-2 in the authors' commands.
        reselect: Optimizer steps between two updates of the masks. 1 in the authors' commands.
    """

    score_lr: float = Field(1e-2, gt=0.0)
    reselect: int = Field(1, ge=1)


class SoftMovementOptions(MovementOptions):
    """Learned scores with a threshold; both values are those of the authors' SQuAD command.

    Attributes:
        threshold: Weights whose sigmoid score is above it are kept.
        penalty: Weight of the mean sigmoid score in the loss (its regularisation).
    """

    threshold: float = Field(0.1, gt=0.0, lt=0.5)
    penalty: float = Field(400.0, ge=0.0)


@dataclass(frozen=True)
class ScorerSpec:
    """A scorer as suites know it.

    Attributes:
        name: Exact name in a recipe.
        free: The sparsity is an outcome, not a target: the audit has nothing to hold it to.
        method: The pruning method that learns these scores while training, if there is one.
        units: It scores whole units only: the structure must be one of heads, neurons or layers.
        version: Raised whenever the same input would give other saliencies; part of identity.
        function: ``module:name`` of the implementation, imported when a cell first needs it.
        source: Paper or code that defines it.
        options: Strict model of ``scorer_options``.
    """

    name: str
    version: int
    function: str
    source: str
    options: type[Strict] = NoOptions
    free: bool = False
    method: str | None = None
    units: bool = False


SCORERS: dict[str, ScorerSpec] = {}


def register(spec: ScorerSpec) -> ScorerSpec:
    """Add a scorer under its exact name.

    Raises:
        SuiteError: If another scorer has that name, or the entry is not complete.
    """
    return registering.add("scorer", SCORERS, spec)


F = TypeVar("F", bound=Callable[..., Any])


def scorer(
    *, name: str, version: int, source: str, options: type[Strict] = NoOptions
) -> Callable[[F], F]:
    """Register a function (weights, statistics) -> saliency as a scorer.

    Args:
        name: What recipes write as ``scorer``.
        version: Raise it whenever the same input would give other saliencies: cells run anew.
        source: Paper or code that defines it.
        options: Strict model of ``scorer_options``.

    Raises:
        SuiteError: If the name is taken, or the function is not at the top level of its file.
    """

    def add(function: F) -> F:
        path = where("scorer", name, function)
        register(ScorerSpec(name, version, path, source, options))
        return function

    return add


class HasOptions(Protocol):
    """A spec of something that a recipe gives options to."""

    @property
    def options(self) -> type[Strict]:
        """Strict model of the options."""


def checked_options(spec: HasOptions, options: dict[str, Any]) -> dict[str, Any]:
    """Options with defaults filled in, so that identity does not depend on writing them out.

    Raises:
        ValidationError: If an option is unknown or out of range.
    """
    return spec.options.model_validate(options).model_dump(mode="json")


register(
    ScorerSpec(
        name="magnitude",
        version=1,
        function="smc_bench.engine.pruning.scorers.simple:magnitude",
        source="|w|; arXiv 1506.02626",
    )
)
register(
    ScorerSpec(
        name="random",
        version=1,
        function="smc_bench.engine.pruning.scorers.simple:random",
        source="uniform noise; the control of SMC-Bench, arXiv 2303.02141",
    )
)
register(
    ScorerSpec(
        name="snip",
        version=1,
        function="smc_bench.engine.pruning.scorers.simple:snip",
        source="|w g| on one mini-batch; arXiv 1810.02340",
        options=SnipOptions,
    )
)
register(
    ScorerSpec(
        name="wanda",
        version=1,
        function="smc_bench.engine.pruning.scorers.simple:wanda",
        source="|w| times the input's norm; arXiv 2306.11695 (use threshold: per_row)",
        options=CalibrationOptions,
    )
)
register(
    ScorerSpec(
        name="movement",
        version=1,
        function="smc_bench.engine.pruning.methods.movement:Movement",
        source="scores learned by straight-through gradients; arXiv 2005.07683",
        options=MovementOptions,
        method="movement",
    )
)
register(
    ScorerSpec(
        name="sparsegpt",
        version=1,
        function="smc_bench.engine.pruning.scorers.sparsegpt:sparsegpt",
        source="layer-wise OBS on inputs' second moments, swept column by column; arXiv 2301.00774",
        options=CalibrationOptions,
    )
)
register(
    ScorerSpec(
        name="obert",
        version=1,
        function="smc_bench.engine.pruning.obert.scorer:obert",
        source="w^2 / 2[F^-1]_ii with a block-diagonal empirical Fisher; arXiv 2203.07259",
        options=ObertOptions,
    )
)
register(
    ScorerSpec(
        name="soft_movement",
        version=1,
        function="smc_bench.engine.pruning.methods.movement:SoftMovement",
        source="movement with a threshold and a penalty on the scores; arXiv 2005.07683",
        options=SoftMovementOptions,
        free=True,
        method="soft_movement",
    )
)
register(
    ScorerSpec(
        name="taylor",
        version=1,
        function="smc_bench.engine.pruning.scorers.taylor:taylor",
        source="mean |dL/dxi| of gates on whole units, row by row; arXiv 1905.10650",
        options=TaylorOptions,
        units=True,
    )
)
register(
    ScorerSpec(
        name="ziplm",
        version=1,
        function="smc_bench.engine.pruning.scorers.ziplm:ziplm",
        source="OBS of heads and neurons with least-squares compensation; arXiv 2302.04089",
        options=CalibrationOptions,
        units=True,
    )
)
