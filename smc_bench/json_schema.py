"""JSON Schemas of the files that people write, for editors and for the reference of keys.

They follow from the typed models, whose docstrings describe every key. What those leave open is
filled in here: parts of a recipe are recipes in which every key may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from inspect import cleandoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.strict import one_or_many
from smc_bench.store.record import Record
from smc_bench.suite.ablations import GUIDELINES
from smc_bench.suite.claims import Claims
from smc_bench.suite.schema import Suite
from smc_bench.suite.slurm_section import SlurmSection
from smc_bench.tasks.specs import SPECS

Json = dict[str, Any]
# Editors read this dialect everywhere; newer ones only some.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_ATTRIBUTE = re.compile(r"    (\w+): (.*)")


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What the ``Attributes:`` sections of a model and its bases say of its fields, by name."""
    said: dict[str, str] = {}
    for base in reversed(model.__mro__):
        said |= _attributes(base.__doc__ or "")
    return {name: said[name] for name in model.model_fields if name in said}


def _attributes(docstring: str) -> dict[str, str]:
    """Entries of a Google style ``Attributes:`` section; longer lines are continued indented."""
    found: dict[str, str] = {}
    name = ""
    section = docstring.partition("    Attributes:\n")[2]
    for line in section.splitlines():
        text = line.removeprefix("    ")
        if entry := _ATTRIBUTE.fullmatch(text):
            name = entry[1]
            found[name] = entry[2]
        elif name and text.startswith("        "):
            found[name] += f" {text.strip()}"
        elif text.strip():
            break
    return found


class _Described(GenerateJsonSchema):
    """Pydantic's schema, with descriptions, and lists that a single value stands for."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No titles made from names: editors show the name anyway."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A model, its fields described."""
        made = super().model_schema(schema)
        model = schema["cls"]
        made["description"] = _markdown(cleandoc(model.__doc__ or "").partition("\n\nAttri")[0])
        for name, text in descriptions(model).items():
            made["properties"][name]["description"] = _markdown(text)
        return made

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        """Where a single value stands for a list of one, either may be written."""
        inner = super().function_before_schema(schema)
        if schema["function"]["function"] is one_or_many.func:
            return {"anyOf": [inner, inner["items"]]}
        return inner


def suite() -> Json:
    """Of a suite's file."""
    made = schema_of(Suite)
    parts = {**_recipe_parts(), **made.pop("$defs")}
    for section in (made, parts["Profile"]):
        keys = section["properties"]
        _refer(keys["recipe"], {"$ref": "#/$defs/Patch"})
        _refer(keys["recipes"], _map_of({"$ref": "#/$defs/Patch"}))
        _refer(keys["arms"], {"$ref": "#/$defs/Arms"})
    _refer(parts["TaskEntry"]["properties"]["name"], _known(SPECS))
    return {**made, "$defs": parts}


def recipe() -> Json:
    """Of a recipe's file."""
    parts = _recipe_parts()
    text = {"type": "string"}
    keys: Json = {
        "extends": {**text, "description": "Recipe that this one starts from."},
        "title": {**text, "description": "Heading of the recipe."},
        "description": {**text, "description": "What the recipe does, and whose it is."},
    }
    patch = parts["Patch"]
    return {**patch, "properties": {**keys, **patch["properties"]}, "$defs": parts}


def clusters() -> Json:
    """Of a file of clusters: settings by the name of the cluster."""
    section = schema_of(SlurmSection)
    return {**_map_of(section), "description": "Clusters by name; `default` is taken unasked."}


def claims() -> Json:
    """Of a file of claims."""
    return schema_of(Claims)


def record() -> Json:
    """Of a finished cell's record."""
    return schema_of(Record)


KINDS: dict[str, Callable[[], Json]] = {
    "suite": suite,
    "recipe": recipe,
    "claims": claims,
    "clusters": clusters,
    "record": record,
}


def json_schema(kind: str) -> Json:
    """The schema of one kind of file, which names the dialect it is written in."""
    return {"$schema": _DIALECT, **KINDS[kind]()}


def schema_of(model: type[BaseModel]) -> Json:
    """The schema of one model, described."""
    return model.model_json_schema(schema_generator=_Described, mode="validation")


def _markdown(text: str) -> str:
    """Docstrings' double backticks as single ones, which editors show as code."""
    return text.replace("``", "`")


def _recipe_parts() -> Json:
    """``Patch`` (any part of a recipe), ``Arm``, ``Arms`` and what they are made of."""
    whole = schema_of(Recipe)
    parts = {name: _partial(part) for name, part in whole.pop("$defs").items()}
    same = {"type": "object", "additionalProperties": False, "required": ["same_steps_as"]}
    what = "Recipe whose number of optimizer steps is taken, at the same target."
    parts["EqualSteps"] = {
        **same,
        "properties": {"same_steps_as": {"type": "string", "description": what}},
    }
    values = _partial(whole)
    _refer(values["properties"]["scorer"], _known(SCORERS))
    by_task = {
        **_map_of({"$ref": "#/$defs/RecipeValues"}),
        "description": "Settings for one task alone, by its name; merged over the others.",
    }
    patch = _with(values, {"by_task": by_task})
    text = {"type": "string"}
    guideline = {"type": "object", "properties": dict.fromkeys(GUIDELINES, text)}
    arm = {
        "recipe": {**text, "description": "Recipe of this arm, instead of the baseline."},
        "take": {
            **guideline,
            "additionalProperties": False,
            "description": "Whole guidelines taken from other recipes: guideline to recipe.",
        },
    }
    arms = {
        "leave_one_out": {**text, "description": "Recipe from which one guideline each is left."},
        "add_one_in": {**text, "description": "Recipe whose guidelines are added one by one."},
        "against": {**text, "description": "Recipe that is compared with in these ablations."},
    }
    every: Json = {"type": "object", "minProperties": 1, "properties": arms}
    parts["RecipeValues"], parts["Patch"] = values, patch
    parts["Arm"] = _with(patch, arm)
    parts["Arms"] = {**every, "additionalProperties": {"$ref": "#/$defs/Arm"}}
    return parts


def _partial(schema: Json) -> Json:
    """The same without keys that must be there; of a union by kind, any member may be meant."""
    made = deepcopy(schema)
    _loosen(made)
    return made


def _loosen(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _loosen(item)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("properties"), dict):
        node.pop("required", None)
    if "discriminator" in node:
        del node["discriminator"]
        node["anyOf"] = node.pop("oneOf")
    for item in node.values():
        _loosen(item)


def _with(schema: Json, keys: Json) -> Json:
    return {**schema, "properties": {**schema["properties"], **keys}}


def _map_of(schema: Json) -> Json:
    return {"type": "object", "additionalProperties": schema}


def _known(names: dict[str, Any]) -> Json:
    """A name; editors offer those that there are, plug-ins may bring others."""
    return {"anyOf": [{"enum": sorted(names)}, {"type": "string"}]}


def _refer(key: Json, schema: Json) -> None:
    """Replace what a key takes, and keep what is said of it."""
    kept: Json = {name: key[name] for name in ("description", "default") if name in key}
    optional = any(option == {"type": "null"} for option in key.get("anyOf", ()))
    key.clear()
    key.update({"anyOf": [schema, {"type": "null"}]} if optional else schema)
    key.update(kept)
