"""The recipe: scope + scorer + schedules + distillation + training, as strict typed data.

Free of torch, so that suites can be checked and planned without it. Every field here is part of a
cell's identity; what can't change a result (micro-batch, checkpoint interval) is in
``engine/execution.py``, which is not.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from smc_bench.engine.distillation import Distillation as Distillation
from smc_bench.engine.pruning.latency import SpeedTarget, speed_conflict
from smc_bench.engine.pruning.structures import (
    checked,
    pattern_sparsity,
    unit_kinds,
    unit_problem,
)
from smc_bench.engine.regrowth import Regrowth as Regrowth
from smc_bench.engine.schedules.durations import Duration, split_duration
from smc_bench.engine.schedules.kinds import AnyRateSchedule, AnySparsitySchedule
from smc_bench.engine.schedules.rates import ConstantLR as ConstantLR
from smc_bench.engine.schedules.rates import LinearLR as LinearLR
from smc_bench.engine.schedules.rates import RewindLR as RewindLR
from smc_bench.engine.schedules.settings import EqualSteps
from smc_bench.engine.strict import Strict as Strict
from smc_bench.engine.strict import one_or_many, rising
from smc_bench.models.architecture import COMPONENTS as COMPONENTS
from smc_bench.models.architecture import Component as Component

Threshold = Literal["global", "per_layer", "per_row"]
Layer = Annotated[int, Field(ge=0)]
HeadStart = Literal["new", "encoder_scale", "trained"]


class Training(Strict):
    """How weights are trained. AdamW (arXiv 1711.05101); biases and LayerNorm are not decayed.

    Attributes:
        duration: Length of training in epochs (``30ep``) or optimizer steps (``3000it``);
            ``scaled`` where the sparsity schedule sets it; ``{same_steps_as: RECIPE}`` for as many
            optimizer steps as another recipe takes.
        batch: Rows of one optimizer step.
        batching: ``grouped`` puts rows of similar length into one batch, ``random`` does not.
        weight_decay: Decoupled weight decay of AdamW.
        beta1: Decay of AdamW's first moment.
        beta2: Decay of AdamW's second moment.
        epsilon: Added to AdamW's denominator.
        clip: Largest norm of the gradient; null does not clip.
        clip_over: Weights whose gradients count for the norm. ``kept``: those that are not pruned,
            as in sparseml, which masks gradients in a hook of the backward pass
            (ModuleParamPruningMask). ``all``: pruned ones too, as in a loop that masks weights
            only, such as SMC-Bench's.
        dropout: Dropout probability in all layers; null keeps the model's own.
        padding: ``none`` computes on real tokens only, which changes the last bits and the dropout
            noise; ``dynamic`` pads to the longest row of a batch. Architectures that can't do the
            former are padded either way.
        precision: Of forward and backward passes (weights are float32). ``auto`` becomes fp32 or
            bf16 before the cell exists, whichever is faster on this machine.
        rows: Training rows, the first so many of one fixed permutation; null takes all.
        start_from: Weights at step 0: the pretrained model's or the finished dense model's.
        head: What the head starts from. ``new``: the architecture's own initialisation;
            ``encoder_scale``: the same, each weight matrix scaled to the encoder's root mean
            square; ``trained``: the finished dense model's head on the pretrained encoder.
        keep_layers: Blocks that training starts from, counted from 0, of those that ``start_from``
            has; the others are left out for good. Null keeps all, and is not written out.
        selection: Checkpoint that counts: the last one.
    """

    duration: Duration | Literal["scaled"] | EqualSteps
    batch: int = Field(32, ge=1)
    batching: Literal["random", "grouped"] = "random"
    weight_decay: float = Field(0.0, ge=0.0)
    beta1: float = Field(0.9, ge=0.0, lt=1.0)
    beta2: float = Field(0.999, ge=0.0, lt=1.0)
    epsilon: float = Field(1e-8, gt=0.0)
    clip: float | None = Field(1.0, gt=0.0)
    clip_over: Literal["kept", "all"] = "kept"
    dropout: float | None = Field(None, ge=0.0, lt=1.0)
    padding: Literal["none", "dynamic"] = "none"
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    rows: int | None = Field(None, ge=1)
    start_from: Literal["pretrained", "teacher"] = "pretrained"
    head: HeadStart = "new"
    keep_layers: Annotated[tuple[Layer, ...] | None, AfterValidator(rising)] = Field(
        None, min_length=1, exclude_if=lambda kept: kept is None
    )
    selection: Literal["last"] = "last"

    @model_validator(mode="after")
    def _one_head_start(self) -> Training:
        if self.start_from == "teacher" and self.head != "new":
            raise ValueError("start_from: teacher brings its own head: leave train.head out")
        return self

    @field_validator("duration")
    @classmethod
    def _not_a_share(cls, value: str | EqualSteps) -> str | EqualSteps:
        if isinstance(value, str) and value != "scaled" and split_duration(value)[1] == "%":
            raise ValueError("give the length of training in ep or it (or scaled), not in %")
        return value


class Evaluation(Strict):
    """How cells are evaluated.

    Attributes:
        batch: Rows of one forward pass; part of the identity, since it can move the last bits.
        rows: Evaluation rows of each split, chosen like ``train.rows``; null takes all.
    """

    batch: int = Field(64, ge=1)
    rows: int | None = Field(None, ge=1)


class Recipe(Strict):
    """One fully resolved way to train and prune; ``sparsity_schedule: null`` trains dense.

    Attributes:
        scope: Components that are pruned.
        sparsity_over: What the target sparsity is a share of. ``scope``: the weights in scope;
            ``encoder``: the encoder, by the global threshold that leaves it at the target;
            ``encoder_zeros``: the scope gets as many zeros as that share of the encoder has;
            ``structure``: the weights of all units of the structure (of all heads, say).
        scorer: Name of the scorer that ranks weights (``smc-bench list``).
        scorer_options: Options of that scorer; see the reference of scorers.
        threshold: Where weights are ranked: over all tensors together (``global``), within each
            tensor (``per_layer``) or within each row of a tensor (``per_row``).
        structure: ``unstructured``, ``block4`` (four neighbouring weights of a row together), N:M
            such as ``2:4`` (so many of each M neighbouring weights stay), or whole units of the
            blocks: ``heads``, ``neurons``, ``layers`` or ``heads+neurons``.
        target: A speed instead of the suite's sparsities, for ``heads``, ``neurons`` or both; null
            for none, and then it is not written out.
        recomputations: Equal slices of each pruning event, each scored anew (sparseml's
            ``num_recomputations``).
        method: Name of a registered pruning method that no other key asks for. Where none is named
            it is not written out, so that identities are as they were before.
        method_options: Options of that method.
        regrowth: RigL after pruning; null for none.
        sparsity_schedule: When sparsity rises, and to what; null trains dense.
        lr_schedule: Learning rate over training.
        distillation: Distillation from the finished dense model; null for none.
        train: How weights are trained.
        evaluation: How the finished model is evaluated.
    """

    scope: Annotated[tuple[Component, ...], one_or_many] = ("encoder",)
    sparsity_over: Literal["scope", "encoder", "encoder_zeros", "structure"] = "scope"
    scorer: str = "magnitude"
    scorer_options: dict[str, Any] = Field(default_factory=dict)
    threshold: Threshold = "global"
    structure: Annotated[str, AfterValidator(checked)] = "unstructured"
    target: SpeedTarget | None = None
    recomputations: int = Field(1, ge=1, le=1000)
    regrowth: Regrowth | None = None
    method: str | None = None
    method_options: dict[str, Any] = Field(default_factory=dict)
    sparsity_schedule: AnySparsitySchedule | None = None
    lr_schedule: AnyRateSchedule
    distillation: Distillation | None = None
    train: Training
    evaluation: Evaluation = Evaluation()

    @field_validator("scope")
    @classmethod
    def _each_once(cls, value: tuple[Component, ...]) -> tuple[Component, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"name each of {', '.join(COMPONENTS)} at most once, and at least one")
        return tuple(part for part in COMPONENTS if part in value)

    @model_serializer(mode="wrap")
    def _without_no_method(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        if self.method is None:
            content.pop("method", None)
            content.pop("method_options", None)
        if self.target is None:
            content.pop("target", None)
        return content

    @model_validator(mode="after")
    def _method_has_options(self) -> Recipe:
        if self.method is None and self.method_options:
            raise ValueError("method_options need a method")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        schedule = self.sparsity_schedule
        if schedule is not None and not schedule.known:
            return self
        sets_length = schedule is not None and schedule.sets_length
        if sets_length != (self.train.duration == "scaled"):
            raise ValueError(
                "train.duration: scaled and sparsity_schedule.kind: scaled (or rounds) go together:"
                " the schedule sets the length of training"
            )
        conflict = speed_conflict(
            self.structure,
            self.threshold,
            self.sparsity_over,
            has_target=self.target is not None,
            fewer_layers=self.train.keep_layers is not None,
        )
        if conflict is not None:
            raise ValueError(conflict)
        if self.sparsity_over != "scope" and "encoder" not in self.scope:
            raise ValueError(f"sparsity_over: {self.sparsity_over} needs the encoder in scope")
        unstructured = self.structure == "unstructured"
        if unit_kinds(self.structure):
            problem = unit_problem(self.structure, self.scope, self.threshold)
            if problem is not None:
                raise ValueError(problem)
        elif self.sparsity_over == "structure":
            raise ValueError(
                "sparsity_over: structure counts the weights of units: it needs structure: heads, "
                "neurons, layers or heads+neurons"
            )
        elif self.sparsity_over == "encoder" and not (self.threshold == "global" and unstructured):
            raise ValueError("sparsity_over: encoder needs threshold: global and no structure")
        one_shot = schedule is not None and schedule.one_event
        single = one_shot and self.recomputations == 1
        if pattern_sparsity(self.structure) is not None and not single:
            raise ValueError(
                f"structure: {self.structure} has one sparsity: it needs "
                "sparsity_schedule.kind: one_shot and recomputations: 1"
            )
        beyond = self.sparsity_over == "encoder_zeros" and self.scope != ("encoder",)
        if pattern_sparsity(self.structure) is not None and beyond:
            raise ValueError(
                f"sparsity_over: encoder_zeros spreads zeros over the whole scope, structure: "
                f"{self.structure} leaves the same share of each row: use one of them"
            )
        if self.regrowth is not None and not one_shot:
            raise ValueError("regrowth keeps a count: it needs sparsity_schedule.kind: one_shot")
        if self.regrowth is not None and not unstructured:
            raise ValueError(
                f"regrowth exchanges single weights: structure: {self.structure} would not hold"
            )
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
                "target",
                "recomputations",
                "method",
                "method_options",
            )
            defaults = {
                name: type(self).model_fields[name].get_default(call_default_factory=True)
                for name in names
            }
        elif self.scope == ("encoder",) and self.sparsity_over != "structure":
            defaults = {"sparsity_over": "scope"}
        if self.sparsity_schedule is None or self.train.clip is None:
            defaults["train"] = self.train.model_copy(update={"clip_over": "kept"})
        return self.model_copy(update=defaults)

    @property
    def length(self) -> EqualSteps:
        """What the number of optimizer steps follows from, for another recipe to be as long."""
        if isinstance(self.train.duration, EqualSteps):
            return self.train.duration
        schedule, duration = self.sparsity_schedule, self.train.duration
        if schedule is not None and schedule.sets_length:
            return EqualSteps(batch=self.train.batch, length=schedule)
        return EqualSteps(batch=self.train.batch, length=duration)

    @property
    def needs_teacher(self) -> bool:
        """Whether a finished dense cell must be there before this one can start."""
        takes_weights = self.train.start_from == "teacher" or self.train.head == "trained"
        return self.distillation is not None or takes_weights
