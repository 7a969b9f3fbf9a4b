"""Merging of recipe parts that remembers which file and line each value came from."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.recipe import Recipe
from smc_bench.errors import SuiteError
from smc_bench.suite.explain import explain
from smc_bench.suite.yaml_file import KeyPath, YamlFile, dotted


@dataclass(frozen=True)
class Layer:
    """Part of a recipe: a dictionary, and where in which file it stands (None: command line)."""

    data: dict[str, Any]
    file: YamlFile | None = None
    prefix: KeyPath = ()


@dataclass
class Merged:
    """A recipe under construction: values, and the layer that each key path came from."""

    data: dict[str, Any] = field(default_factory=dict)
    origin: dict[KeyPath, Layer] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Merge a layer over what is there."""
        _merge(self.data, layer.data, (), layer, self.origin)

    def take(self, other: Merged, path: KeyPath) -> None:
        """Replace what stands at a key path by what another recipe has there (maybe nothing)."""
        for known in [known for known in self.origin if known[: len(path)] == path]:
            del self.origin[known]
        section, theirs = self.section(path[:-1]), other.section(path[:-1])
        section.pop(str(path[-1]), None)
        if path[-1] in theirs:
            section[str(path[-1])] = deepcopy(theirs[str(path[-1])])
            self.origin |= {k: v for k, v in other.origin.items() if k[: len(path)] == path}

    def section(self, path: KeyPath) -> dict[str, Any]:
        """The mapping at a key path, made where nothing stands.

        Raises:
            SuiteError: If something else stands there.
        """
        found = self.data
        for depth, part in enumerate(path, 1):
            if found.get(str(part)) is None:
                found[str(part)] = {}
            found = found[str(part)]
            if not isinstance(found, dict):
                raise self.error(path[:depth], "must be a section of keys", "a recipe")
        return found

    def recipe(self, context: str) -> Recipe:
        """Validate as a Recipe.

        Raises:
            SuiteError: Naming the file, line and key where the wrong value stands.
        """
        try:
            return Recipe.model_validate(self.data)
        except ValidationError as error:
            location, message = explain(error, Recipe)
            raise self.error(location, message, context) from None

    def error(self, location: KeyPath, message: str, context: str) -> SuiteError:
        """The error of a wrong value, at the file and line that it came from."""
        for length in range(len(location), -1, -1):
            layer = self.origin.get(location[:length])
            if layer is not None:
                break
        else:
            layer = None
        key = dotted(location)
        if layer is not None and layer.file is None:
            return SuiteError(f"--set {key}: {message} (in {context})")
        if layer is None or layer.file is None:
            return SuiteError(f"{context}: {key}: {message}" if key else f"{context}: {message}")
        where = (*layer.prefix, *location)
        line = layer.file.line(where)
        return SuiteError(f"{layer.file.path}:{line}: {dotted(where)}: {message} (in {context})")


def _merge(
    base: dict[str, Any],
    patch: dict[str, Any],
    at: KeyPath,
    layer: Layer,
    origin: dict[KeyPath, Layer],
) -> None:
    origin[at] = layer
    for key, value in patch.items():
        here = (*at, key)
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and not _other_kind(old, value):
            _merge(old, value, here, layer, origin)
            continue
        if isinstance(old, dict):
            for path in [path for path in origin if path[: len(here)] == here]:
                del origin[path]
        origin[here] = layer
        if isinstance(value, dict):
            base[key] = {}
            _merge(base[key], value, here, layer, origin)
        else:
            base[key] = value


def _other_kind(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a section changes its kind, so that the old kind's keys must go."""
    return "kind" in new and new["kind"] != old.get("kind")
