"""Turns a pydantic error into the key a person wrote and a plain sentence about it."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

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
    written = tuple(part for part in location if not _is_branch(part))
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
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    shown = first["input"]
    if isinstance(shown, str | int | float) and repr(shown) not in message:
        message += f" (found {shown!r})"
    return written, message


_TAGS = {"ramp", "scaled", "one_shot", "linear", "rewind", "constant"}


def _is_branch(part: str | int) -> bool:
    # pydantic puts the chosen branch of a union into the location; the author never wrote it.
    return isinstance(part, str) and (part in _TAGS or "[" in part or part.startswith("function-"))


def _known(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Keys allowed at a location, through containers, Optional and tagged unions."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        fields = [m.model_fields[str(part)] for m in models if str(part) in m.model_fields]
        if fields:
            models = [found for field in fields for found in _models(field.annotation)]
        elif part in _TAGS:
            models = [m for m in models if m.model_fields["kind"].default == part]
    return sorted({name for m in models for name in m.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]
