"""Schedules by kind: what each must answer, and the registry that suites look them up in.

A schedule is a strict pydantic model with a ``kind`` that answers for itself. The registries are
open: :func:`schedule` adds a class of a plug-in as it adds the ones that are here. No torch.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar, Union

from pydantic import (
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    create_model,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from smc_bench.engine.registering import check_entry
from smc_bench.engine.schedules.durations import Duration, to_steps
from smc_bench.engine.schedules.timeline import Timeline
from smc_bench.engine.strict import Strict
from smc_bench.errors import SuiteError

STORED = "stored"
"""Key of pydantic's context: a stored cell is read, whose plug-in need not be loaded."""


class Schedule(Strict):
    """Base of all schedules.

    Attributes:
        known: Whether the class is there; false for a stored cell of a plug-in that is not loaded.
        must_step: Names of durations that must come to a step at least where they are given.
    """

    known: ClassVar[bool] = True
    must_step: ClassVar[tuple[str, ...]] = ()
    kind: str


class SparsitySchedule(Schedule):
    """Base of sparsity schedules: when masks change, and to what.

    The last event must come to the target: that is where tables show the cell.

    Attributes:
        sets_length: Whether the length of training follows from the schedule and the target;
            recipes then say ``train.duration: scaled``.
        one_event: Whether all pruning is one event.
        method: The pruning method that the schedule needs, if not a scorer at each event.
    """

    sets_length: ClassVar[bool] = False
    one_event: ClassVar[bool] = False
    method: ClassVar[str | None] = None

    @property
    def ends_on_target(self) -> bool:
        """Whether the last event comes to the target; where not, it stays below and prunes."""
        return True

    def timeline(self, target: float, steps_per_epoch: int, total: int) -> Timeline:
        """Events of one training, in rising order of step and sparsity.

        Args:
            target: The sparsity that the suite asks for, 0..1.
            steps_per_epoch: Optimizer steps of one epoch.
            total: Steps of the whole training; 0 where the schedule sets the length.

        Raises:
            ValueError: If the settings do not fit the length of training; says so for people.
        """
        raise NotImplementedError


class RateSchedule(Schedule):
    """Base of learning-rate schedules: linear warm-up to ``peak``, then what :meth:`rate` says."""

    peak: float = Field(gt=0.0)
    warmup: Duration = "0it"

    def rate(self, step: int, timeline: Timeline) -> float:
        """Learning rate of an optimizer step after the warm-up.

        Args:
            step: Counted from 0.
            timeline: Length of training (or of one round, without events) and pruning events.
        """
        raise NotImplementedError

    def of_step(self, step: int, timeline: Timeline) -> float:
        """Learning rate of any step; the first of w warm-up steps takes 1/w of the peak."""
        warmup = self.warmup_steps(timeline)
        return self.peak * (step + 1) / warmup if step < warmup else self.rate(step, timeline)

    def warmup_steps(self, timeline: Timeline) -> int:
        """Optimizer steps of the warm-up."""
        return to_steps(self.warmup, timeline.steps_per_epoch, timeline.total_steps)

    def prefix(self, timeline: Timeline, steps: int) -> dict[str, Any]:
        """What the rates of the first ``steps`` steps follow from, as JSON.

        Two schedules with the same content must give these steps the same rates. The rates
        themselves are always right; a schedule that knows better saves the work.
        """
        rates = [self.of_step(step, timeline) for step in range(steps)]
        return {"rates": hashlib.sha256(struct.pack(f"<{steps}d", *rates)).hexdigest()}

    def with_peak(self, peak: float) -> Self:
        """The same schedule at another peak; a ``floor`` keeps its share of the peak."""
        changes = {"peak": peak}
        floor = getattr(self, "floor", None)
        if isinstance(floor, float):
            changes["floor"] = float(f"{floor / self.peak * peak:.6g}")
        return self.model_copy(update=changes)


class UnknownSparsity(SparsitySchedule):
    """A stored schedule of a plug-in that is not loaded: kept as it is written."""

    model_config = ConfigDict(extra="allow")
    known: ClassVar[bool] = False


class UnknownRates(RateSchedule):
    """A stored schedule of a plug-in that is not loaded: kept as it is written."""

    model_config = ConfigDict(extra="allow")
    known: ClassVar[bool] = False


S = TypeVar("S", bound=Schedule)


@dataclass(frozen=True)
class ScheduleSpec(Generic[S]):
    """A kind of schedule as suites know it.

    Attributes:
        name: The ``kind`` in a recipe.
        version: Raised whenever the same settings would give other numbers; part of identity.
        source: Paper or code that defines it.
        settings: The class.
    """

    name: str
    version: int
    source: str
    settings: type[S]


class Kinds(Generic[S]):
    """The schedules that one key of a recipe may name."""

    def __init__(self, key: str, base: type[S], unknown: type[S]) -> None:
        """Begin empty.

        Args:
            key: The key of a recipe.
            base: What all classes are made from.
            unknown: What stored settings of a kind that is not registered become.
        """
        self.key, self.base, self.unknown = key, base, unknown
        self.specs: dict[str, ScheduleSpec[S]] = {}

    def add(self, spec: ScheduleSpec[S]) -> None:
        """Register a kind.

        Raises:
            SuiteError: If another class has that name.
        """
        if self.specs.get(spec.name, spec) != spec:
            raise SuiteError(f"two kinds of {self.key} are called {spec.name!r}: rename one")
        self.specs[spec.name] = spec

    def validate(self, value: Any, *, stored: bool = False) -> S:
        """Settings of whatever kind they name; errors are those of a tagged union.

        Args:
            value: A mapping with a ``kind``, or settings.
            stored: Take kinds that are not registered, too.
        """
        if isinstance(value, self.base):
            return value
        if stored and isinstance(value, Mapping) and value.get("kind") not in self.specs:
            return self.unknown.model_validate(value)
        found: S = self._union().validate_python(value)
        return found

    def json_schema(self, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """One schema for each kind that is registered by now."""
        return handler(self._union().core_schema)

    def _union(self) -> TypeAdapter[Any]:
        return _union(tuple(spec.settings for spec in self.specs.values()))


@lru_cache(maxsize=64)
def _union(classes: tuple[type[Schedule], ...]) -> TypeAdapter[Any]:
    union: Any = Annotated[Union[classes], Field(discriminator="kind")]  # noqa: UP007
    return TypeAdapter(union)


@dataclass(frozen=True)
class OneOf:
    """Marks a field that takes any registered kind; looked up when settings are read."""

    kinds: Kinds[Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validate by the registry; write whatever class it is."""

        def validate(value: Any, info: core_schema.ValidationInfo) -> Any:
            return self.kinds.validate(value, stored=STORED in (info.context or {}))

        return core_schema.with_info_after_validator_function(validate, core_schema.any_schema())

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The kinds registered by now."""
        return self.kinds.json_schema(handler)


SPARSITY = Kinds("sparsity_schedule", SparsitySchedule, UnknownSparsity)
RATES = Kinds("lr_schedule", RateSchedule, UnknownRates)
ALL: tuple[Kinds[Any], ...] = (SPARSITY, RATES)

AnySparsitySchedule = Annotated[SparsitySchedule, OneOf(SPARSITY)]
AnyRateSchedule = Annotated[RateSchedule, OneOf(RATES)]


def schedule(*, name: str, version: int, source: str) -> Callable[[type[S]], type[S]]:
    """Register a class as the kind ``name`` of sparsity or learning-rate schedules.

    Args:
        name: What recipes write as ``kind``.
        version: Raise it whenever the same settings would give other numbers: cells run anew.
        source: Paper or code that defines it.

    Returns:
        A decorator; it gives the class its ``kind``.

    Raises:
        SuiteError: If the class is none of the two, lacks its method, or the name is taken.
    """

    def register(cls: type[S]) -> type[S]:
        check_entry("schedule", name, version, source)
        kinds, answer = _place(name, cls)
        if getattr(cls, answer) is getattr(kinds.base, answer):
            raise SuiteError(f"schedule {name!r}: {cls.__name__} has no method {answer}")
        made = cls if "kind" in cls.__annotations__ else _of_kind(cls, name)
        kinds.add(ScheduleSpec(name, version, source, made))
        return made

    return register


def _place(name: str, cls: type) -> tuple[Kinds[Any], str]:
    if isinstance(cls, type) and issubclass(cls, SparsitySchedule):
        return SPARSITY, "timeline"
    if isinstance(cls, type) and issubclass(cls, RateSchedule):
        return RATES, "rate"
    raise SuiteError(
        f"schedule {name!r}: {cls!r} must be a class made from SparsitySchedule or RateSchedule"
    )


def _of_kind(cls: type[S], name: str) -> type[S]:
    """The class with ``kind`` fixed to its name, as a tagged union needs it."""
    tag: Any = Literal[name]
    made = create_model(
        cls.__name__,
        __base__=cls,
        __module__=cls.__module__,
        __doc__=cls.__doc__,
        kind=(tag, name),
    )
    made.__qualname__ = cls.__qualname__
    return made
