"""Blocks of uneven shapes: how the configuration of a model folder says them.

Stock configurations have one number of heads and of neurons for all blocks, and BERT's kin make a
head's size of the hidden size over the heads. Where that is not so, ``config.json`` says the true
shapes by transformers' own ``per_layer_config``, and the size of a head by a key of ours,
``attention_head_size``. The global number of neurons is then 0, which no block has: a transformers
that knows ``per_layer_config`` refuses to build the model, one that does not refuses the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from smc_bench.errors import ModelError
from smc_bench.models.architecture import BlockNames
from smc_bench.models.files import read_object
from smc_bench.models.units import block_names

PER_LAYER, HEAD_SIZE, KEPT = "per_layer_config", "attention_head_size", "kept_heads"


@dataclass(frozen=True)
class LayerShape:
    """One block: its groups of heads and its neurons.

    Attributes:
        groups: Heads, or key-value groups of heads.
        neurons: Neurons of the feed-forward layer.
        kept: Which of the shared position bias's heads these are; empty where there is none.
    """

    groups: int
    neurons: int
    kept: tuple[int, ...] = ()


@dataclass(frozen=True)
class Shapes:
    """All blocks of a model.

    Attributes:
        head_size: Size of a head.
        queries: Query heads of a group.
        layers: By block.
    """

    head_size: int
    queries: int
    layers: tuple[LayerShape, ...]

    def write(self, config: Any) -> None:
        """Say these shapes in a configuration: plainly where a stock model can have them."""
        names = block_names(str(config.model_type))
        dense = int(vars(config)[names.heads_key]) // self.queries
        groups = {layer.groups for layer in self.layers}
        neurons = {layer.neurons for layer in self.layers}
        heads_fit = groups == {dense} or (bool(names.head_size_key) and len(groups) == 1)
        _forget(config)
        if len(neurons) == 1 and min(neurons) > 0 and heads_fit and min(groups) > 0:
            setattr(config, names.neurons_key, neurons.pop())
            for key, value in _plain_heads(names, groups.pop(), self).items():
                setattr(config, key, value)
            return
        setattr(config, names.neurons_key, 0)
        setattr(config, HEAD_SIZE, self.head_size)
        config.per_layer_config = {
            i: self._layer(names, layer) for i, layer in enumerate(self.layers)
        }

    def _layer(self, names: BlockNames, layer: LayerShape) -> dict[str, Any]:
        found: dict[str, Any] = {
            names.heads_key: layer.groups * self.queries,
            names.neurons_key: layer.neurons,
        }
        if names.groups_key:
            found[names.groups_key] = layer.groups
        if names.position_argument is not None:
            found[KEPT] = list(layer.kept)
        return found


def _plain_heads(names: BlockNames, groups: int, shapes: Shapes) -> dict[str, int]:
    found = {names.heads_key: groups * shapes.queries}
    if names.groups_key:
        found[names.groups_key] = groups
    if names.head_size_key:
        found[names.head_size_key] = shapes.head_size
    return found


def _forget(config: Any) -> None:
    """Make a configuration one of equal blocks again."""
    if hasattr(type(config), PER_LAYER):
        config.per_layer_config = None
    for key in (PER_LAYER, HEAD_SIZE, "_heterogeneity_spec"):
        vars(config).pop(key, None)


def read_shapes(folder: Path) -> Shapes | None:
    """The shapes that a model folder's ``config.json`` gives block by block; None in a stock one.

    Raises:
        ModelError: They are not whole numbers for blocks that there are, or the size of a head is
            not said: the folder is not one that smc-bench wrote.
    """
    path = folder / "config.json"
    content = read_object(path)
    if PER_LAYER not in content or content[PER_LAYER] is None:
        return None
    names = block_names(str(content.get("model_type")))
    given = content[PER_LAYER]
    if HEAD_SIZE not in content or not isinstance(given, dict):
        raise ModelError(
            f"{path}: {PER_LAYER} without {HEAD_SIZE}: only models with uneven layers that "
            "smc-bench export --shrink wrote are read"
        )
    size = _whole(content[HEAD_SIZE], path, HEAD_SIZE, least=1)
    heads = _whole(content.get(names.heads_key), path, names.heads_key, least=1)
    shared = content.get(names.groups_key, heads) if names.groups_key else heads
    groups = _whole(shared, path, names.groups_key, least=1)
    if heads % groups:
        raise ModelError(f"{path}: {heads} heads are no whole groups of {groups}")
    count = _layers(content, path)
    by_layer = _by_layer(given, count, path)
    layers = tuple(
        _layer_shape(by_layer.get(i, {}), content, names, heads // groups, f"{path}: layer {i}")
        for i in range(count)
    )
    return Shapes(size, heads // groups, layers)


def _layers(content: Mapping[str, Any], path: Path) -> int:
    key = "n_layers" if "n_layers" in content else "num_hidden_layers"
    return _whole(content.get(key), path, key, least=1)


def _by_layer(given: Mapping[str, Any], count: int, path: Path) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for key, value in given.items():
        if not key.isdecimal() or int(key) >= count or not isinstance(value, dict):
            raise ModelError(f"{path}: {PER_LAYER}: {key!r} is none of the {count} layers")
        found[int(key)] = value
    return found


def _layer_shape(
    own: Mapping[str, Any], content: Mapping[str, Any], names: BlockNames, queries: int, where: str
) -> LayerShape:
    known = {names.heads_key, names.neurons_key, names.groups_key, KEPT}
    unknown = [key for key in own if key not in known]
    if unknown:
        raise ModelError(f"{where}: {unknown[0]!r} can't differ between layers here")

    def number(key: str) -> int:
        return _whole(own.get(key, content.get(key)), where, key)

    heads = number(names.heads_key)
    kept = own.get(KEPT, list(range(heads)) if names.position_argument is not None else [])
    wanted = heads if names.position_argument is not None else 0
    dense = int(content[names.heads_key])
    if not isinstance(kept, list) or len(kept) != wanted or not set(kept) <= set(range(dense)):
        raise ModelError(f"{where}: {KEPT} must name {wanted} of the {dense} heads")
    if heads % queries or (names.groups_key and number(names.groups_key) * queries != heads):
        raise ModelError(f"{where}: {heads} heads are no whole groups of {queries}")
    return LayerShape(heads // queries, number(names.neurons_key), tuple(kept))


def _whole(value: Any, where: object, key: str, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ModelError(f"{where}: {key} is {value!r}, not a whole number from {least}")
    return value


def buildable(folder: Path) -> Any:
    """The configuration of a folder with uneven blocks, as transformers can build it.

    Its blocks are equal and their neurons few, until :mod:`smc_bench.models.reshape` is done.

    Raises:
        ModelError: It is not valid.
    """
    content = read_object(folder / "config.json")
    model_type = str(content.pop("model_type"))
    for key in (PER_LAYER, HEAD_SIZE):
        content.pop(key)
    content[block_names(model_type).neurons_key] = 1
    try:
        return AutoConfig.for_model(model_type, **content)
    except Exception as error:  # what a wrong value raises is the configuration class's own choice
        first = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"{folder}: no usable config.json: {first}") from error
