"""Pruning methods by name, without torch, and which of them a recipe asks for.

Three are asked for by what they need: movement pruning by its scorer, RigL by ``regrowth``, the
lottery ticket by a schedule of rounds. Others are named by a recipe's ``method``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from smc_bench.engine import registering
from smc_bench.engine.pruning.scorers.registry import SCORERS, NoOptions
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.registering import where
from smc_bench.engine.strict import Strict
from smc_bench.errors import SuiteError

if TYPE_CHECKING:
    from smc_bench.engine.pruning.methods.base import PruningMethod

SCORED = "scored"
"""The method of recipes that ask for none: a scorer at each pruning event."""


@dataclass(frozen=True)
class MethodSpec:
    """A method as suites know it.

    Attributes:
        name: Exact name in a recipe.
        version: Raised whenever the same input would give other weights; part of identity.
        function: ``module:Class`` of the implementation, imported when a cell first needs it.
        source: Paper or code that defines it.
        options: Strict model of ``method_options``.
        shares_prefix: Nothing happens before the first pruning event that ordinary training would
            not do, so that cells may share these steps.
        free: The sparsity is an outcome, not a target: the audit has nothing to hold it to.
        exchanges: Between events weights of a tensor change places, so that tensors keep their
            counts, but rows and structures do not.
        asked_by: The key of a recipe that asks for it.
    """

    name: str
    version: int
    function: str
    source: str
    options: type[Strict] = NoOptions
    shares_prefix: bool = True
    free: bool = False
    exchanges: bool = False
    asked_by: str = "method"


METHODS: dict[str, MethodSpec] = {}


def register_method(spec: MethodSpec) -> MethodSpec:
    """Add a method under its exact name.

    Raises:
        SuiteError: If another method has that name, or the entry is not complete.
    """
    return registering.add("method", METHODS, spec)


M = TypeVar("M", bound="type[PruningMethod]")


def method(
    *,
    name: str,
    version: int,
    source: str,
    options: type[Strict] = NoOptions,
    shares_prefix: bool = False,
    free: bool = False,
    exchanges: bool = False,
) -> Callable[[M], M]:
    """Register a class made from ``PruningMethod`` as a method that recipes name by ``method``.

    Args:
        name: What recipes write as ``method``.
        version: Raise it whenever the same input would give other weights: cells run anew.
        source: Paper or code that defines it.
        options: Strict model of ``method_options``.
        shares_prefix: Nothing happens before the first pruning event that ordinary training would
            not do; cells may then share these steps.
        free: The sparsity is an outcome, not a target.
        exchanges: Between events weights of a tensor change places: rows keep no count.

    Raises:
        SuiteError: If the name is taken, or the class is none or not at the top level of its file.
    """

    def add(cls: M) -> M:
        from smc_bench.engine.pruning.methods.base import PruningMethod

        path = where("method", name, cls)
        if not (isinstance(cls, type) and issubclass(cls, PruningMethod)):
            raise SuiteError(f"method {name!r}: {cls!r} must be a class made from PruningMethod")
        if cls.on_event is PruningMethod.on_event:
            raise SuiteError(f"method {name!r}: {cls.__name__} has no method on_event")
        register_method(
            MethodSpec(name, version, path, source, options, shares_prefix, free, exchanges)
        )
        return cls

    return add


def asked_for(recipe: Recipe) -> dict[str, str]:
    """Names of the methods that a recipe asks for, by the key that asks; more than one is wrong."""
    if recipe.sparsity_schedule is None:
        return {}
    scorer = SCORERS.get(recipe.scorer)
    asked = {
        "method": recipe.method,
        "scorer": scorer.method if scorer else None,
        "regrowth": "rigl" if recipe.regrowth is not None else None,
        "sparsity_schedule": recipe.sparsity_schedule.method,
    }
    return {key: name for key, name in asked.items() if name is not None}


def method_of(recipe: Recipe) -> MethodSpec:
    """The method of a recipe.

    Raises:
        SuiteError: If the recipe names a method that is not registered, or two methods.
    """
    asked = asked_for(recipe) or {"": SCORED}
    if len(asked) > 1:
        raise SuiteError(f"{' and '.join(asked)} each ask for a pruning method of their own")
    name = next(iter(asked.values()))
    if name not in METHODS:
        raise SuiteError(f"unknown method {name!r}: load the file or package that registers it")
    return METHODS[name]


def is_free(recipe: Recipe) -> bool:
    """Whether the sparsity is an outcome of training, so that there is no count to hold it to."""
    scorer = SCORERS.get(recipe.scorer)
    return method_of(recipe).free or (scorer is not None and scorer.free)


def load_method(spec: MethodSpec) -> type[PruningMethod]:
    """The class behind a spec.

    Raises:
        SuiteError: If the registry's entry leads nowhere.
    """
    module, _, name = spec.function.partition(":")
    try:
        found: type[PruningMethod] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        message = f"method {spec.name!r}: {spec.function} can't be loaded: {error}"
        raise SuiteError(message) from None
    return found


_METHODS = "smc_bench.engine.pruning.methods"
register_method(
    MethodSpec(
        name=SCORED,
        version=1,
        function=f"{_METHODS}.scored:ScoredPruning",
        source="the least salient weights go at each event; arXiv 1710.01878",
        asked_by="scorer",
    )
)
register_method(
    MethodSpec(
        name="lottery",
        version=1,
        function=f"{_METHODS}.lottery:LotteryTicket",
        source="rounds of training, pruning and rewinding; arXiv 1803.03635, 2003.02389",
        asked_by="sparsity_schedule",
    )
)
register_method(
    MethodSpec(
        name="movement",
        version=1,
        function=f"{_METHODS}.movement:Movement",
        source="scores learned by straight-through gradients; arXiv 2005.07683",
        shares_prefix=False,
        asked_by="scorer",
    )
)
register_method(
    MethodSpec(
        name="soft_movement",
        version=1,
        function=f"{_METHODS}.movement:SoftMovement",
        source="movement with a threshold and a penalty on the scores; arXiv 2005.07683",
        shares_prefix=False,
        free=True,
        asked_by="scorer",
    )
)
register_method(
    MethodSpec(
        name="rigl",
        version=1,
        function=f"{_METHODS}.rigl:RigL",
        source="drop by magnitude, grow by gradient; arXiv 1911.11134",
        shares_prefix=False,
        exchanges=True,
        asked_by="regrowth",
    )
)
