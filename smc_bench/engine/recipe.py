"""The recipe: scope + scorer + schedules + distillation + training, as strict typed data.

Free of torch, so that suites can be checked and planned without it. Every field here is part of a
cell's identity; what can't change a result (micro-batch, checkpoint interval) is in
:class:`Execution`, which is not.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from smc_bench.engine.durations import ClockTime, Duration, split_duration
from smc_bench.engine.structure import checked, pattern_sparsity

Component = Literal["embeddings", "encoder", "head"]
COMPONENTS: tuple[Component, ...] = ("embeddings", "encoder", "head")
Threshold = Literal["global", "per_layer", "per_row"]


class Strict(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _absolute(value: str) -> str:
    if split_duration(value)[1] == "%":
        raise ValueError("the length of training follows from this schedule: give ep or it, not %")
    return value


Absolute = Annotated[Duration, AfterValidator(_absolute)]
"""A duration that the length of training follows from, so not a share of it."""


class RampSchedule(Strict):
    """Gradual pruning over a fixed window: an event each ``every`` steps from ``start`` to ``end``.

    ``shape`` cubic is s = sf + (s0 - sf)(1 - x)^3 (arXiv 1710.01878, eq. 1), linear the same with
    exponent 1; x runs from 0 at ``start`` to 1 at ``end``. ``end_inclusive: false`` drops an event
    that would fall on ``end`` itself, as SMC-Bench's condition ``step < final`` does, so the last
    event ends a little below the target and the audit expects just that. ``align: zero`` counts
    events from step 0 (multiples of ``every`` inside the window, SMC-Bench), ``start`` from the
    window's start (sparseml).
    """

    kind: Literal["ramp"] = "ramp"
    initial: float = Field(0.0, ge=0.0, lt=1.0)
    shape: Literal["cubic", "linear"] = "cubic"
    start: Duration
    end: Duration
    every: Duration
    end_inclusive: bool = True
    align: Literal["start", "zero"] = "start"


class ScaledSchedule(Strict):
    """Length scaled to the target: one large first step, then as many events as the target needs.

    The paper gives no formula (arXiv 2312.13547 section 3.3 states the principle); this one is
    this project's: from ``initial`` on, each event removes at most the share ``removes`` of the
    weights that are left, all events the same share; each is followed by one ``cycle`` of training,
    so the length of training follows from the target.
    """

    kind: Literal["scaled"] = "scaled"
    initial: float = Field(0.7, ge=0.0, lt=1.0)
    removes: float = Field(0.3, gt=0.0, lt=1.0)
    start: Absolute
    cycle: Absolute


class OneShotSchedule(Strict):
    """All weights at once, at one point of training."""

    kind: Literal["one_shot"] = "one_shot"
    at: Duration = "0it"


class RoundsSchedule(Strict):
    """Iterative pruning: train a round, prune, go back to the start, again (arXiv 1803.03635).

    Each pruning removes the share ``removes`` of the weights that are left (the last one less, so
    that it ends on the target); then all weights but the pruned ones return to what they were
    before training, the optimizer starts anew, and so does the learning rate, whose schedule spans
    one round. SMC-Bench: 20 % a round, back to the pretrained weights (its script of LTH).
    """

    kind: Literal["rounds"] = "rounds"
    removes: float = Field(0.2, gt=0.0, lt=1.0)
    round: Absolute


SparsitySchedule = Annotated[
    RampSchedule | ScaledSchedule | OneShotSchedule | RoundsSchedule, Field(discriminator="kind")
]


class EqualSteps(Strict):
    """Length of training: as many optimizer steps as another recipe takes at the same target.

    ``batch`` and ``length`` are the other's own, written out when a suite is loaded (it says
    ``same_steps_as``), so that a cell holds everything that its length follows from.
    """

    batch: int = Field(ge=1)
    length: Duration | ScaledSchedule | RoundsSchedule


class LinearLR(Strict):
    """Linear warm-up from 0 to ``peak``, then linear decay to ``floor`` at the end of training."""

    kind: Literal["linear"] = "linear"
    peak: float = Field(gt=0.0)
    floor: float = Field(0.0, ge=0.0)
    warmup: Duration = "0it"


class RewindLR(Strict):
    """Cyclic linear decay from ``peak`` to ``floor`` that starts again at pruning events.

    Inside a cycle of c steps: lr = peak - k/(c-1) (peak - floor) (sparseml sparsification code,
    restated). Cycles start at step 0 and at each pruning event, or, where ``period`` is given, at
    the first event and every ``period`` after it (the authors' oBERT recipes: 4 epochs).
    """

    kind: Literal["rewind"] = "rewind"
    peak: float = Field(gt=0.0)
    floor: float = Field(0.0, ge=0.0)
    warmup: Duration = "0it"
    period: Duration | None = None


class ConstantLR(Strict):
    """Linear warm-up to ``peak``, then no change."""

    kind: Literal["constant"] = "constant"
    peak: float = Field(gt=0.0)
    warmup: Duration = "0it"


LRSchedule = Annotated[LinearLR | RewindLR | ConstantLR, Field(discriminator="kind")]


class Distillation(Strict):
    """Loss = (1 - hardness) task + hardness T^2 KL(teacher || student), both softened by T.

    Source: arXiv 1503.02531 section 2; ``hardness`` and ``temperature`` as sparseml names them.
    """

    hardness: float = Field(1.0, ge=0.0, le=1.0)
    temperature: float = Field(5.5, gt=0.0)


class Training(Strict):
    """How weights are trained. AdamW (arXiv 1711.05101); biases and LayerNorm are not decayed."""

    duration: Duration | Literal["scaled"] | EqualSteps
    batch: int = Field(32, ge=1)
    batching: Literal["random", "grouped"] = "random"
    weight_decay: float = Field(0.0, ge=0.0)
    beta1: float = Field(0.9, ge=0.0, lt=1.0)
    beta2: float = Field(0.999, ge=0.0, lt=1.0)
    epsilon: float = Field(1e-8, gt=0.0)
    clip: float | None = Field(1.0, gt=0.0)
    dropout: float | None = Field(None, ge=0.0, lt=1.0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    rows: int | None = Field(None, ge=1)
    start_from: Literal["pretrained", "teacher"] = "pretrained"
    selection: Literal["last"] = "last"

    @field_validator("duration")
    @classmethod
    def _not_a_share(cls, value: str | EqualSteps) -> str | EqualSteps:
        if isinstance(value, str) and value != "scaled" and split_duration(value)[1] == "%":
            raise ValueError("give the length of training in ep or it (or scaled), not in %")
        return value


class Evaluation(Strict):
    """How cells are evaluated; the batch is part of identity because it can move the last bits."""

    batch: int = Field(64, ge=1)
    rows: int | None = Field(None, ge=1)


class Regrowth(Strict):
    """RigL: weights are dropped and others grown at a constant count (arXiv 1911.11134, alg. 1).

    Every ``every`` up to ``until``, in each tensor the share rate/2 (1 + cos(pi t/T)) of the
    weights that stay is dropped by magnitude and as many are grown by the gradient's, from zero,
    T being ``until``. The defaults are SMC-Bench's: rate 0.5, decay over all of training.
    """

    every: Duration = "500it"
    rate: float = Field(0.5, gt=0.0, lt=1.0)
    until: Duration = "100%"


class Recipe(Strict):
    """One fully resolved way to train and prune; ``sparsity_schedule: null`` trains dense.

    ``recomputations`` splits each pruning event into so many equal parts, each scored anew
    (sparseml ``num_recomputations``).
    """

    scope: tuple[Component, ...] = ("encoder",)
    sparsity_over: Literal["scope", "encoder", "encoder_zeros"] = "scope"
    scorer: str = "magnitude"
    scorer_options: dict[str, Any] = Field(default_factory=dict)
    threshold: Threshold = "global"
    structure: Annotated[str, AfterValidator(checked)] = "unstructured"
    recomputations: int = Field(1, ge=1)
    regrowth: Regrowth | None = None
    sparsity_schedule: SparsitySchedule | None = None
    lr_schedule: LRSchedule
    distillation: Distillation | None = None
    train: Training
    evaluation: Evaluation = Evaluation()

    @field_validator("scope")
    @classmethod
    def _each_once(cls, value: tuple[Component, ...]) -> tuple[Component, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"name each of {', '.join(COMPONENTS)} at most once, and at least one")
        return tuple(part for part in COMPONENTS if part in value)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        schedule = self.sparsity_schedule
        sets_length = schedule is not None and schedule.kind in {"scaled", "rounds"}
        if sets_length != (self.train.duration == "scaled"):
            raise ValueError(
                "train.duration: scaled and sparsity_schedule.kind: scaled (or rounds) go together:"
                " the schedule sets the length of training"
            )
        if self.sparsity_over != "scope" and "encoder" not in self.scope:
            raise ValueError(f"sparsity_over: {self.sparsity_over} needs the encoder in scope")
        unstructured = self.structure == "unstructured"
        if self.sparsity_over == "encoder" and (self.threshold != "global" or not unstructured):
            raise ValueError("sparsity_over: encoder needs threshold: global and no structure")
        one_shot = schedule is not None and schedule.kind == "one_shot"
        single = one_shot and self.recomputations == 1
        if pattern_sparsity(self.structure) is not None and not single:
            raise ValueError(
                f"structure: {self.structure} has one sparsity: it needs "
                "sparsity_schedule.kind: one_shot and recomputations: 1"
            )
        if self.regrowth is not None and not one_shot:
            raise ValueError("regrowth keeps a count: it needs sparsity_schedule.kind: one_shot")
        return self

    def normalised(self) -> Recipe:
        """The same recipe with what has no effect set to its default, so that identity is equal."""
        defaults: dict[str, Any] = {}
        if self.sparsity_schedule is None:
            names = (
                "scope",
                "sparsity_over",
                "scorer",
                "scorer_options",
                "threshold",
                "structure",
                "recomputations",
            )
            defaults = {
                name: type(self).model_fields[name].get_default(call_default_factory=True)
                for name in names
            }
        elif self.scope == ("encoder",):
            defaults = {"sparsity_over": "scope"}
        return self.model_copy(update=defaults)

    @property
    def length(self) -> EqualSteps:
        """What the number of optimizer steps follows from, for another recipe to be as long."""
        if isinstance(self.train.duration, EqualSteps):
            return self.train.duration
        schedule, duration = self.sparsity_schedule, self.train.duration
        sets_length = isinstance(schedule, ScaledSchedule | RoundsSchedule)
        return EqualSteps(batch=self.train.batch, length=schedule if sets_length else duration)

    @property
    def needs_teacher(self) -> bool:
        """Whether a finished dense cell must be there before this one can start."""
        return self.distillation is not None or self.train.start_from == "teacher"


class Execution(Strict):
    """How a cell is run, without effect on what it measures beyond the last bits.

    The first attempt fixes these for a cell; later attempts keep them, so that a resumed cell is
    bit-equal to one that was not interrupted.
    """

    micro_batch: int | None = Field(None, ge=1)
    checkpoint_every: ClockTime = "600s"
