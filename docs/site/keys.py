"""Tables of the keys of a file, from the same JSON Schemas that editors read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from smc_bench.cli.main import VERBS, cli
from smc_bench.engine.pruning.scorers.registry import SCORERS, NoOptions
from smc_bench.engine.recipe import Recipe
from smc_bench.json_schema import KINDS, schema_of
from smc_bench.store.record import Failure
from smc_bench.suite.cell import Cell

Json = dict[str, Any]
_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}


@dataclass(frozen=True)
class _Page:
    """What the words of a table depend on.

    Attributes:
        kind: Kind of file, for the anchors of its sections.
        sections: The schema's definitions by name.
        reference: Where the page of recipes lies, seen from this one.
    """

    kind: str
    sections: Json
    reference: str


def tables(kind: str, reference: str) -> str:
    """Markdown tables of one kind of file: its own keys, then each section that they name.

    Args:
        kind: A kind of ``smc-bench schema``, ``cell``, ``failure``, ``scorers`` or ``verbs``.
        reference: Prefix of links to the page of recipes.
    """
    if kind == "scorers":
        return _scorers(reference)
    if kind == "verbs":
        return _verbs()
    made = {"recipe": Recipe, "cell": Cell, "failure": Failure}
    schema = schema_of(made[kind]) if kind in made else KINDS[kind]()
    page = _Page(kind, schema.get("$defs", {}), reference)
    own = schema if "properties" in schema else schema["additionalProperties"]
    parts = [_table(own, page)]
    for name in _reached(schema, page.sections):
        section = page.sections[name]
        if "properties" in section:
            parts += [f"### {name} {{ #{_anchor(kind, name)} }}", section.get("description", "")]
            parts += [_table(section, page)]
    return "\n\n".join(part for part in parts if part)


def _scorers(reference: str) -> str:
    parts = []
    for name, spec in sorted(SCORERS.items()):
        parts += [f"### {name} {{ #scorer-{name} }}", f"Source: {spec.source}."]
        if spec.options is not NoOptions:
            schema = schema_of(spec.options)
            parts += [_table(schema, _Page("scorer", schema.get("$defs", {}), reference))]
    return "\n\n".join(parts)


def _verbs() -> str:
    """Every verb with its arguments and options, as click knows them."""
    parts = []
    for name in VERBS:
        with click.Context(cli, info_name="smc-bench") as above:
            verb = cli.get_command(above, name)
            context = click.Context(verb, info_name=name, parent=above)
            usage = " ".join([context.command_path, *verb.collect_usage_pieces(context)])
            parts += [f"## {name}", verb.help or "", f"    {usage}", _options(verb, context)]
    return "\n\n".join(parts)


def _options(verb: click.Command, context: click.Context) -> str:
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for option in verb.get_params(context):
        if isinstance(option, click.Option) and not option.hidden and "--help" not in option.opts:
            written, _ = option.get_help_record(context) or ("", "")
            default, meaning = option.get_help_extra(context).get("default"), option.help or ""
            told = f"`{default}`" if default else ""
            rows.append(f"| `{_cell(written)}` | {told} | {_cell(meaning)} |")
    return "\n".join(rows)


def _reached(node: Any, sections: Json, seen: dict[str, None] | None = None) -> list[str]:
    """Sections in the order in which keys name them."""
    seen = {} if seen is None else seen
    if isinstance(node, dict):
        name = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if name and name not in seen and not _of_recipe(name):
            seen[name] = None
            _reached(sections[name], sections, seen)
        for key, item in node.items():
            if key != "$defs":
                _reached(item, sections, seen)
    elif isinstance(node, list):
        for item in node:
            _reached(item, sections, seen)
    return list(seen)


def _of_recipe(name: str) -> bool:
    """Parts of recipes have a page of their own."""
    return name in {"Patch", "RecipeValues", "Arm", "Recipe"}


def _table(schema: Json, page: _Page) -> str:
    needed = set(schema.get("required", ()))
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, key in schema["properties"].items():
        default = "required" if name in needed else _default(key)
        takes = _one_or_many(list(dict.fromkeys(_takes(key, page))))
        rows.append(f"| `{name}` | {takes} | {default} | {_cell(key.get('description', ''))} |")
    return "\n".join(rows)


def _one_or_many(words: list[str]) -> str:
    """What a key takes; a list that one of its items can stand for is said once."""
    items = [word for word in words if not word.startswith("list of ") and word != "null"]
    many, rest = f"list of {' or '.join(items)}", list(words)
    if items and many in words:
        rest.remove(many)
        rest.insert(len(items), "a list of these")
    return " or ".join(rest)


def _default(key: Json) -> str:
    if "default" not in key:
        return ""
    value = key["default"]
    if isinstance(value, dict | list) and value:
        return "see there" if isinstance(value, dict) else f"`{json.dumps(value)}`"
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def _takes(key: Json, page: _Page) -> Iterator[str]:
    """What a key takes, in words."""
    if "$ref" in key:
        yield from _section(key["$ref"].removeprefix("#/$defs/"), page)
    elif "anyOf" in key or "oneOf" in key:
        for option in key.get("anyOf") or key["oneOf"]:
            yield from _takes(option, page)
    elif "enum" in key or "const" in key:
        yield ", ".join(f"`{value}`" for value in key.get("enum", [key.get("const")]))
    elif key.get("type") == "array":
        yield _list(key, page)
    elif key.get("type") == "object" or "type" not in key:
        inside = key.get("additionalProperties")
        of = " or ".join(_takes(inside, page)) if isinstance(inside, dict) else ""
        yield f"names, each with {of}" if of else "mapping"
    else:
        word = key.get("title") or _WORDS.get(key["type"], key["type"])
        link = f"[{word}]({page.reference}recipes.md#durations)" if word == "duration" else word
        yield f"{link}{_bounds(key)}"


def _section(name: str, page: _Page) -> Iterator[str]:
    if _of_recipe(name):
        yield f"[settings of a recipe]({page.reference}recipes.md)"
    elif "properties" in page.sections[name]:
        yield f"[{name}](#{_anchor(page.kind, name)})"
    else:
        yield from _takes(page.sections[name], page)


def _list(key: Json, page: _Page) -> str:
    if "prefixItems" in key:
        return "pair of " + ", ".join(next(_takes(k, page)) for k in key["prefixItems"])
    return "list of " + " or ".join(_takes(key.get("items", {}), page))


def _bounds(key: Json) -> str:
    low, high = key.get("minimum"), key.get("maximum")
    above, below = key.get("exclusiveMinimum"), key.get("exclusiveMaximum")
    signs = ((">=", low), (">", above), ("<=", high), ("<", below))
    said = [f"{sign} {value:.12g}" for sign, value in signs if value is not None]
    return f" ({', '.join(said)})" if said else ""


def _anchor(kind: str, name: str) -> str:
    return f"{kind}-{name.lower()}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
