"""Give a model's blocks uneven shapes.

A block without heads adds the bias of its attention's output and nothing else; it has no
projections, and neither has a block without neurons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from smc_bench.errors import ModelError
from smc_bench.models.files import weight_files
from smc_bench.models.shapes import LayerShape, Shapes
from smc_bench.models.units import Block, blocks


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
        # By way of the meta device, so that nothing is drawn at random for what is replaced.
        made = nn.Linear(inputs, outputs, old.bias is not None, device="meta", dtype=like.dtype)
        made = made.to_empty(device=like.device)
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
