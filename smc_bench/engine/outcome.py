"""What a finished cell leaves: one definition for outcomes and records. No torch here."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from smc_bench.engine.context import SplitScores
from smc_bench.engine.recipe import COMPONENTS
from smc_bench.errors import SmcBenchError

Whole = Annotated[int, Field(ge=0, strict=True)]
"""A count."""

Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False, strict=True)]
Points = Annotated[float, Field(allow_inf_nan=False, strict=True)]

# What the metrics that tasks here have can be, with a split's suffix (``accuracy_mm``). What one of
# somebody's own may be, its author knows.
_RANGES = (
    (re.compile(r"(accuracy|f1|exact_match)(_.*)?"), 0.0, 100.0),
    (re.compile(r"(matthews_correlation|pearson|spearman)(_.*)?"), -100.0, 100.0),
    (re.compile(r"perplexity(_.*)?"), 1.0, math.inf),
    (re.compile(r"nats_per_token(_.*)?"), 0.0, math.inf),
)
_ROUNDING = 1e-9


def _in_range(metrics: dict[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        for pattern, lowest, highest in _RANGES:
            if pattern.fullmatch(name) and not lowest - _ROUNDING <= value <= highest + _ROUNDING:
                raise ValueError(f"{name} is {value:g}, outside {lowest:g}..{highest:g}")
    return metrics


Metrics = Annotated[dict[str, Points], AfterValidator(_in_range)]


class Stored(BaseModel):
    """What records are made of; keys that a later version adds are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ZeroCount(Stored):
    """Zeros among weights.

    Attributes:
        zeros: Weights that are zero in the saved file.
        total: All weights.
    """

    zeros: Whole
    total: Whole

    @model_validator(mode="after")
    def _no_more_than_all(self) -> Self:
        if self.zeros > self.total:
            raise ValueError(f"{self.zeros} zeros among {self.total} weights")
        return self

    @property
    def share(self) -> float:
        """Zeros over total, 0..1."""
        return self.zeros / self.total if self.total else 0.0


class Sparsity(Stored):
    """Sparsity of the saved weights, over three denominators.

    Attributes:
        scope: Of the prunable weights in the recipe's scope.
        encoder: Of the weights of the encoder's linear layers.
        model: Pruned weights over all parameters, biases and LayerNorm included.
        components: The same by component: embeddings, encoder and head.
        structure: Of the weights of all units (heads, neurons or layers), where the recipe removes
            whole units.
    """

    scope: ZeroCount
    encoder: ZeroCount
    model: ZeroCount
    components: dict[str, ZeroCount]
    structure: ZeroCount | None = Field(None, exclude_if=lambda count: count is None)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        missing = [name for name in COMPONENTS if name not in self.components]
        if missing:
            raise ValueError(f"nothing is said of the {', '.join(missing)}")
        if self.components["encoder"] != self.encoder:
            raise ValueError("the encoder has one count by component and another of its own")
        if self.scope.zeros > sum(self.components[name].zeros for name in COMPONENTS):
            raise ValueError("there are more zeros in the scope than in all components")
        return self


class OutputCheck(Stored):
    """Whether a model's output depends on its input, measured on the logits of some rows.

    Attributes:
        rows: Sequences that were looked at (windows, for spans).
        all_equal: Whether the output is constant. Classification and regression: every row has the
            same logits. Multiple choice: in no row does one choice differ from another. Spans: at
            each position all windows that reach it have the same logits. Language models: at each
            position the likeliest token has the same probability; of answers that are written, all
            are the same text. Equal is what differs by
            no more than float32 rounding, see ``engine/loss/constancy.py``. Of a single row
            it says nothing: that is always equal to itself (but for multiple choice).
        one_class: Whether arg max gives one and the same class for all rows; None where there are
            no classes (regression, spans).
    """

    rows: Whole
    all_equal: bool
    one_class: bool | None = None


class PredictedSpeed(Stored):
    """How fast a model is by a table of latencies, where the recipe's target is a speed.

    Attributes:
        speedup: The dense model's time over this one's, both sums of the table's parts.
        table_sha256: Of the table's content, which stands in ``cell.recipe.target.table``.
    """

    speedup: Annotated[float, Field(ge=1.0, allow_inf_nan=False, strict=True)]
    table_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Measured(Stored):
    """What was measured of a finished cell; ranges are checked.

    Attributes:
        metrics: Percent (or what the task's spec says), by name with the split's suffix.
        trivial: The same metrics of the best answer that ignores the input.
        sparsity: Measured on the saved weights.
        events: Step, target and measured sparsity over the scope of each pruning event.
        total_steps: Optimizer steps of the whole training.
        train_features: Sequences (windows) of one epoch.
        rows: Rows used of each split, after limits.
        weights_sha256: Hash of the saved weights file.
        train_seconds: Training time of the attempt that finished, without reused steps and waiting.
        device: Where it ran.
        threads: Intra-op threads of torch.
        padding: ``none`` where batches were packed, ``dynamic`` where they were padded (all were,
            in records from before there was a choice).
        prefix_steps: The first so many steps were taken by another cell that shares the prefix.
        outputs: Whether logits depend on the input, by split; of the training split on some rows.
        weights_left: Weights that are not zero in the saved file, and all, of each prunable tensor.
        head_paths: Ways through non-zero weights from the encoder to the logits that are left, and
            those of a dense head; None where the head is no plain chain of layers, and in old
            records. See ``models/head_paths.py``.
        files_sha256: Hashes of the other saved files (config, tokenizer), by name; old records
            have none.
        predicted: Speed by the table of latencies, where the target is a speed.
    """

    metrics: Annotated[Metrics, Field(min_length=1)]
    trivial: Metrics
    sparsity: Sparsity
    events: list[dict[str, float]]
    total_steps: Whole
    train_features: Whole
    rows: dict[str, Whole]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    train_seconds: Seconds
    device: str
    threads: Annotated[int, Field(ge=1, strict=True)]
    padding: str = "dynamic"
    prefix_steps: Whole = 0
    outputs: dict[str, OutputCheck] = Field(default_factory=dict)
    weights_left: dict[str, tuple[int, int]] = Field(default_factory=dict)
    head_paths: tuple[Whole, Whole] | None = Field(None, exclude_if=lambda paths: paths is None)
    files_sha256: dict[str, str] = Field(default_factory=dict)
    predicted: PredictedSpeed | None = Field(None, exclude_if=lambda found: found is None)

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.prefix_steps > self.total_steps:
            raise ValueError(f"{self.prefix_steps} of {self.total_steps} steps were reused")
        for name, (left, total) in self.weights_left.items():
            if not 0 <= left <= total:
                raise ValueError(f"{name}: {left} of {total} weights are left")
        if self.head_paths and self.head_paths[0] > self.head_paths[1]:
            raise ValueError("head_paths: {} of {} paths are left".format(*self.head_paths))
        by_tensor = sum(total - left for left, total in self.weights_left.values())
        by_component = sum(count.zeros for count in self.sparsity.components.values())
        if self.weights_left and by_tensor != by_component:
            raise ValueError(
                f"{by_tensor} zeros by tensor (weights_left), but {by_component} by component"
            )
        for event in self.events:
            step = event.get("step", -1.0)
            if not 0.0 <= step <= self.total_steps:
                raise ValueError(f"a pruning event at step {step:g} of {self.total_steps}")
            for key, share in event.items():
                if key != "step" and not 0.0 <= share <= 1.0:
                    raise ValueError(f"{key} of the event at step {step:g} is {share}, not 0..1")
        return self


class CellOutcome(Measured):
    """What the engine hands back of a finished cell.

    Attributes:
        splits: Per-row results of each evaluation split.
    """

    splits: dict[str, SplitScores] = Field(default_factory=dict, exclude=True)

    @classmethod
    def checked(cls, **content: Any) -> Self:
        """The outcome, if all of it is in range.

        Raises:
            SmcBenchError: It is not; names the key. A plug-in's metric can do that.
        """
        plain = {
            key: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for key, value in content.items()
        }
        try:
            return cls.model_validate(plain, from_attributes=True)
        except ValidationError as error:
            raise SmcBenchError(f"the outcome can't be recorded: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
