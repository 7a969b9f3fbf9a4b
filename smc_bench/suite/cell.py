"""A cell: one fully resolved experiment, and the content identity that names it.

The identity is a hash over everything that can change the result, in one canonical spelling, so
that key order, ``1`` or ``1.0``, defaults written out or left out, and the suite it came from do
not matter. Folders, devices, worker counts and micro-batches are not part of a cell.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from smc_bench.engine.recipe import Recipe, Strict

IDENTITY_VERSION = 3
"""What new cells have; older ones are read, and match none. docs/record.md says what changed."""


class TaskSettings(Strict):
    """A task as one cell uses it.

    Attributes:
        name: Name of the task.
        version: Version of the code that makes its features and scores.
        config: Configuration of the data set.
        train_split: Split that is trained on.
        eval_splits: Splits that are evaluated on.
        max_length: Tokens that a sequence (or a window of a context) is cut to.
        stride: Tokens that neighbouring windows of a long context share.
        held_back: Rows of the training split that are not trained on but evaluated on
            (``eval_splits`` is then the training split alone); null for none.
    """

    name: str
    version: int
    config: str
    train_split: str
    eval_splits: tuple[str, ...]
    max_length: int = Field(ge=8)
    stride: int = Field(ge=0)
    held_back: int | None = Field(None, ge=1)


class Cell(Strict):
    """One experiment.

    Attributes:
        identity_version: Version of the rules by which identities are made.
        kind: What is done; there is one kind.
        task: Task, splits and lengths.
        model: The model as the suite names it; only ``model_pin`` counts for identity.
        model_pin: Commit or content hash of the weights ("unresolved" before ``fetch``).
        data_pins: The same for each split that is read.
        recipe: How it is trained and pruned.
        scorer_version: Version of the scorer's code.
        versions: Versions above 1 of the method and the schedules, by the recipe's key.
        sparsity: Target of the recipe's schedule, 0 where it does not prune.
        seed: Seeds the head's initial weights, dropout and the order of batches.
        teacher: Id of the dense cell this one distils or starts from.
        limit: Optimizer steps after which training is cut short (``--limit``): never reported.
    """

    identity_version: Literal[1, 2, 3] = 3
    kind: Literal["train"] = "train"
    task: TaskSettings
    model: str
    model_pin: str
    data_pins: dict[str, str]
    recipe: Recipe
    scorer_version: int
    versions: dict[str, int] = Field(default_factory=dict)
    sparsity: float = Field(ge=0.0, lt=1.0)
    seed: int = Field(ge=0, lt=2**32)
    teacher: str | None = None
    limit: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _as_of_version(cls, given: Any) -> Any:
        """What older cells do not say was fixed then; for their ids see :data:`_LATER`."""
        version = given.get("identity_version") if isinstance(given, Mapping) else None
        if version not in _OLD_TRAINING:
            return given
        recipe = given.get("recipe")
        train = recipe.get("train") if isinstance(recipe, Mapping) else None
        if not isinstance(recipe, Mapping) or not isinstance(train, Mapping):
            return given
        return {**given, "recipe": {**recipe, "train": {**_OLD_TRAINING[version], **train}}}

    @model_serializer(mode="wrap")
    def _without_no_versions(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        if not self.versions:
            content.pop("versions", None)
        return content

    @property
    def resolved(self) -> bool:
        """Whether all that is measured or looked up is known, so that the identity is final."""
        if self.recipe.target is not None and not self.recipe.target.known:
            return False
        pinned = UNRESOLVED not in (self.model_pin, *self.data_pins.values())
        return pinned and self.recipe.train.precision != "auto"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, whose id is its own."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("id", None)
        return copy

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that name the cell."""
        return identity(self)

    @property
    def slug(self) -> str:
        """Human part of the folder's name, made from the cell alone."""
        model = re.sub(r"[^A-Za-z0-9.]+", "-", self.model.split("/")[-1]).strip("-")[-40:]
        recipe = self.recipe
        if recipe.sparsity_schedule is None:
            return f"{model}-dense-s{self.seed}"
        kind = f"{recipe.method or recipe.scorer}-{'+'.join(part[:3] for part in recipe.scope)}"
        return f"{model}-{kind}-{self.sparsity:.4g}-s{self.seed}"

    @property
    def folder(self) -> str:
        """Relative folder in a results store: ``task/slug-id``."""
        return f"{self.task.name}/{self.slug}-{self.id}"


UNRESOLVED = "unresolved"

# What training was before there was a choice, by version of the identity.
_OLD_TRAINING: dict[int, dict[str, str]] = {
    1: {"padding": "dynamic", "clip_over": "all"},
    2: {"clip_over": "all"},
}

# Settings that came after a version, with the value at which they change nothing: left out of that
# version's content, so that its records keep their ids.
_AFTER_2: dict[str, Any] = {
    "train.clip_over": "all",
    "train.head": "new",
    "lr_schedule.at": None,
    "sparsity_schedule.weights": "rewound",
}
_LATER: dict[int, dict[str, Any]] = {
    1: {
        "structure": "unstructured",
        "recomputations": 1,
        "regrowth": None,
        "sparsity_schedule.paced_from": None,
        "train.padding": "dynamic",
        **_AFTER_2,
    },
    2: _AFTER_2,
}


def identity_content(cell: Cell) -> dict[str, Any]:
    """What the identity is made from: all settings but the model's name (its pin counts).

    Nor counts how much memory a Fisher estimate may take: it moves the last bits only, and the
    first attempt fixes it.
    """
    content = cell.model_dump(mode="json")
    del content["model"]
    if cell.identity_version > 1:
        content["recipe"]["scorer_options"].pop("fisher_memory", None)
    if cell.identity_version < 3:
        del content["task"]["held_back"]
    for key, neutral in _LATER.get(cell.identity_version, {}).items():
        section, _, name = key.rpartition(".")
        settings = (content["recipe"][section] or {}) if section else content["recipe"]
        if name in settings and settings[name] == neutral:
            del settings[name]
    return content


def canonical_json(content: dict[str, Any]) -> str:
    """One spelling for equal content: sorted keys, no spaces, integral floats as integers."""
    return json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _canonical(value: Any) -> Any:
    """Integral floats as integers, at every depth; leaves are told in place, being most of it."""
    if isinstance(value, dict):
        return {
            str(key): item if type(item) in _LEAVES else _canonical(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


_LEAVES = frozenset({str, int, bool, type(None)})


def identity(cell: Cell) -> str:
    """First twelve hexadecimal digits of the SHA-256 of the canonical content."""
    return hashlib.sha256(canonical_json(identity_content(cell)).encode()).hexdigest()[:12]


def difference(left: Cell, right: Cell) -> dict[str, tuple[Any, Any]]:
    """Settings that tell two cells apart, by dotted key; what ``why`` shows."""
    one, two = (_flatten(identity_content(cell)) for cell in (left, right))
    keys = sorted(one.keys() | two.keys())
    return {key: (one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)}


def _flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
