"""Blocks of uneven shapes: how a model folder says them, and how a model gets them.

Stock configurations have one number of heads and of neurons for all blocks, and BERT's kin make a
head's size of the hidden size over the heads. Where that is not so, ``config.json`` says the true
shapes by transformers' own ``per_layer_config``, and the size of a head by a key of ours,
``attention_head_size``. The global number of neurons is then 0, which no block has: a transformers
that knows ``per_layer_config`` refuses to build the model, one that does not refuses the weights.

A block without heads adds the bias of its attention's output and nothing else; it has no
projections, and neither has a block without neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig

from smc_bench.errors import ModelError
from smc_bench.models.files import read_object, weight_files
from smc_bench.models.units import Block, BlockNames, block_names, blocks

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

    Its blocks are equal, their neurons few: :func:`reshape` gives them their shapes.

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


def load_shaped(model: Any, shapes: Shapes, folder: Path) -> dict[str, Any]:
    """Give a model of equal blocks the shapes and the weights of a folder.

    Returns:
        What transformers calls loading info.

    Raises:
        ModelError: The shapes do not fit the model.
    """
    reshape(model, shapes)
    own: dict[str, Tensor] = model.state_dict()
    stored = {name: t for file in weight_files(folder) for name, t in load_file(file).items()}
    wrong = [
        (name, tensor.shape, own[name].shape)
        for name, tensor in stored.items()
        if name in own and tensor.shape != own[name].shape
    ]
    unfit = {name for name, _, _ in wrong}
    with torch.no_grad():
        for name, tensor in stored.items():
            if name in own and name not in unfit:
                own[name].copy_(tensor)
    return {
        "missing_keys": set(own) - set(stored),
        "unexpected_keys": set(stored) - set(own),
        "mismatched_keys": wrong,
        "error_msgs": [],
    }


def reshape(model: Any, shapes: Shapes) -> None:
    """Give the blocks of a model these shapes. New weights are not numbers until they are loaded.

    Args:
        model: With equal blocks; changed in place.
        shapes: Of as many blocks, with heads of the model's size.

    Raises:
        ModelError: They do not fit the model.
    """
    there = blocks(model)
    if len(there) != len(shapes.layers) or any(
        b.head_size not in (0, shapes.head_size) for b in there
    ):
        raise ModelError(
            f"{len(shapes.layers)} layers with heads of size {shapes.head_size} are not those of a "
            f"model of {len(there)} layers with heads of size {there[0].head_size}"
        )
    for block, shape in zip(there, shapes.layers, strict=True):
        module = model.get_submodule(block.path)
        if shape.groups != block.groups:
            _reshape_attention(module, block, shape)
        if shape.neurons != block.neurons:
            for name in block.names.up:
                narrow = (
                    _linear(module, name, rows=shape.neurons) if shape.neurons else OneFeature()
                )
                module.set_submodule(name, narrow)
            down = block.names.down
            module.set_submodule(down, _linear(module, down, columns=shape.neurons))


def _reshape_attention(module: nn.Module, block: Block, shape: LayerShape) -> None:
    names, size = block.names, block.head_size
    heads = shape.groups * block.queries
    output = _linear(module, names.output, columns=heads * size)
    attention = module.get_submodule(names.attention)
    inside = names.output.removeprefix(f"{names.attention}.")
    if not shape.groups:
        own = inside if inside != names.output else ""
        module.set_submodule(names.attention, Headless(own, output if own else None))
        if not own:
            module.set_submodule(names.output, output)
        return
    rows = {names.query: heads, names.key: shape.groups, names.value: shape.groups}
    for name, count in rows.items():
        module.set_submodule(name, _linear(module, name, rows=count * size))
    module.set_submodule(names.output, output)
    counts = {"num_attention_heads": heads, "n_heads": heads, "all_head_size": heads * size}
    for name, number in counts.items():
        if hasattr(attention, name):
            setattr(attention, name, number)
    if names.position_argument is not None:
        for key, hook in list(attention._forward_pre_hooks.items()):
            if isinstance(hook, _KeptHeads):
                del attention._forward_pre_hooks[key]
        hook = _KeptHeads(names.position_argument, shape.kept)
        attention.register_forward_pre_hook(hook)


def _linear(
    module: nn.Module, name: str, *, rows: int | None = None, columns: int | None = None
) -> nn.Module:
    """A Linear like the one there, of another shape and without numbers; without inputs a bias."""
    old = module.get_submodule(name)
    assert isinstance(old, nn.Linear)
    like = old.weight
    outputs = old.out_features if rows is None else rows
    inputs = old.in_features if columns is None else columns
    made: nn.Module
    if not inputs:
        made = BiasOnly(outputs, old.bias)
    else:
        made = nn.utils.skip_init(
            nn.Linear, inputs, outputs, old.bias is not None, device=like.device, dtype=like.dtype
        )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(float("nan"))
    return made


def position_heads(model: Any, block: Block) -> tuple[int, ...]:
    """Which heads of the shared position bias a block's are; empty where there is none."""
    if block.names.position_argument is None:
        return ()
    attention = model.get_submodule(f"{block.path}.{block.names.attention}")
    for hook in attention._forward_pre_hooks.values():
        if isinstance(hook, _KeptHeads):
            return tuple(hook.kept)
    return tuple(range(block.groups))


class BiasOnly(nn.Module):
    """What is left of a Linear without inputs: its bias, at every position."""

    def __init__(self, outputs: int, like: Tensor | None) -> None:
        super().__init__()
        self.out_features = outputs
        self.bias = None if like is None else nn.Parameter(torch.empty_like(like))

    def forward(self, inputs: Tensor) -> Tensor:
        """The bias (or zeros), one row for each row of the inputs."""
        shape = (*inputs.shape[:-1], self.out_features)
        if self.bias is None:
            return inputs.new_zeros(shape)
        # A view, which costs nothing. Without gradients not one of the parameter, whose history
        # torch's FLOP counter would look for.
        return (self.bias if torch.is_grad_enabled() else self.bias.detach()).expand(shape)


class OneFeature(nn.Module):
    """What stands for a projection into no neurons: something narrow, which nothing reads."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The first feature of the inputs, so that the activation has next to nothing to do."""
        return inputs[..., :1]


class Headless(nn.Module):
    """An attention without heads: what comes in goes to the output projection, which ignores it."""

    def __init__(self, name: str, output: nn.Module | None) -> None:
        """``output`` is the projection, by its name, where it is a part of the attention."""
        super().__init__()
        self.name = name
        if output is not None:
            self.add_module(name, output)

    def forward(self, hidden_states: Tensor, *rest: Any, **more: Any) -> tuple[Tensor, None]:
        """Hidden states for the projection behind it, or its own projection's; no weights."""
        return (getattr(self, self.name)(hidden_states) if self.name else hidden_states), None


class _KeptHeads:
    """Of a position bias (batch, heads, T, T) that all layers share, the heads of this one."""

    def __init__(self, argument: int, kept: tuple[int, ...]) -> None:
        self.argument, self.kept = argument, list(kept)

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        bias = given[self.argument]
        mine = None if bias is None else bias[:, self.kept]
        return (*given[: self.argument], mine, *given[self.argument + 1 :])
