"""The base of every setting that is read from a file, and what several settings share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError


class Strict(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, given: Any) -> Any:
        """Pydantic takes true for 1: ``seeds: [true]`` would be a seed."""
        if not isinstance(given, Mapping):
            return given
        for name, value in given.items():
            if _holds_truth(value) and name in cls.model_fields and not _takes_truth(cls, name):
                words = PydanticCustomError("truth", "true and false mean nothing here")
                wrong = InitErrorDetails(type=words, loc=(name,), input=value)
                raise ValidationError.from_exception_data(cls.__name__, [wrong])
        return given


def _holds_truth(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(item, bool) for item in value)
    return isinstance(value, bool)


@cache
def _takes_truth(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields[name]
    parts = [field.annotation, *field.metadata]
    return any(_mentions_truth(part) for part in parts)


def _mentions_truth(part: Any) -> bool:
    """Whether a part of an annotation is bool, a bool of a Literal, or code that may take one."""
    if part in (bool, Any) or isinstance(part, bool):
        return True
    if isinstance(part, BeforeValidator):
        return part is not one_or_many
    return any(_mentions_truth(inner) for inner in get_args(part))


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str | int | float) else value


one_or_many = BeforeValidator(_one_or_many)
"""For lists: a single value stands for a list of one."""


def rising(values: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Whole numbers, each once, in rising order.

    Raises:
        ValueError: They are not.
    """
    if values is not None and list(values) != sorted(set(values)):
        raise ValueError("write each number once, the lowest first")
    return values
