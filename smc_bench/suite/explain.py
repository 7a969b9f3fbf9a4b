"""Turns a pydantic error into the key a person wrote and a plain sentence about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from smc_bench.engine.schedules.kinds import ALL as ALL_KINDS
from smc_bench.errors import shortened
from smc_bench.suite.yaml_file import KeyPath, nearest


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[KeyPath, str]:
    """Key path and message of the most telling error.

    Args:
        error: What pydantic raised.
        model: The model that was being validated; its fields are what a wrong key is compared to.
    """
    # A misspelt key also makes the right one missing: the key that stands there is the cause.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = first["loc"]
    pairs = zip(("", *location), location, strict=False)
    written = tuple(part for before, part in pairs if not _is_branch(before, part))
    kind = first["type"]
    if kind == "extra_forbidden":
        return written, f"unknown key{nearest(str(location[-1]), _known(model, location[:-1]))}"
    if kind == "missing":
        return written[:-1], f"the key {str(written[-1])!r} is missing"
    if kind == "union_tag_invalid":
        context = first["ctx"]
        tags = context["expected_tags"].replace("'", "").split(", ")
        return (*written, "kind"), f"unknown kind {context['tag']!r}{nearest(context['tag'], tags)}"
    if kind == "union_tag_not_found":
        return written, "the key 'kind' is missing"
    if kind == "string_type" and location[-1] == "[key]":
        return written, "a name must be text: put it in quotes"
    message = _in_words(first)
    shown = first["input"]
    if isinstance(shown, str | int | float) and repr(shown) not in message:
        message += f" (found {shortened(_as_written(shown), 60)})"
    return written, message


_A_NUMBER, _A_WHOLE, _TRUTH = "must be a number", "must be a whole number", "must be true or false"
_SECTION, _LIST = (
    "must be a section such as {{key: value}}",
    "must be a list such as [a, b]",
)
_WORDS = {
    "string_type": "must be text",
    "int_type": _A_WHOLE,
    "int_parsing": _A_WHOLE,
    "int_parsing_size": _A_WHOLE,
    "int_from_float": _A_WHOLE,
    "float_type": _A_NUMBER,
    "float_parsing": _A_NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "too_short": "must not be empty",
    "literal_error": "must be {expected}",
}
"""Pydantic's kinds of errors, said without words of Python."""


def _in_words(error: Any) -> str:
    words = _WORDS.get(error["type"])
    if words is not None:
        return words.format(**error.get("ctx", {}))
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _as_written(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _tags(key: str | int) -> Mapping[str, Any]:
    """Kinds that a key of a recipe may name: pydantic writes the chosen one into the location."""
    return next((kinds.specs for kinds in ALL_KINDS if kinds.key == key), {})


_OF_NAMES = {"arms", "profiles", "recipes", "by_task", "claims"}
"""Sections whose keys are names that somebody chose, ``linear`` perhaps."""


def _is_branch(before: str | int, part: str | int) -> bool:
    # pydantic puts the chosen branch of a union into the location; the author never wrote it.
    if not isinstance(part, str) or before in _OF_NAMES:
        return False
    return part in _tags(before) or "[" in part or part.startswith("function-")


def _known(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Keys allowed at a location, through containers, Optional and tagged unions."""
    models: list[type[BaseModel]] = [model]
    for before, part in zip(("", *location), location, strict=False):
        fields = [m.model_fields[str(part)] for m in models if str(part) in m.model_fields]
        if part in _tags(before):
            models = [_tags(before)[str(part)].settings]
        elif fields:
            models = [found for field in fields for found in _models(field.annotation)]
    return sorted({name for m in models for name in m.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]
