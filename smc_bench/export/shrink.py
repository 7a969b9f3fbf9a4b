"""From a model with removed units a smaller dense one that computes the same.

A unit whose columns of the output (or down) projection are all zero contributes nothing, whatever
the rest of it is. Its rows and columns are left out; nothing is padded, and a block that has lost
all heads (or neurons) keeps the bias of the projection alone. Zeros among the weights that stay
are kept as zeros.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from smc_bench.errors import ModelError
from smc_bench.models.files import SINGLE
from smc_bench.models.load import load_model
from smc_bench.models.reshape import position_heads, reshape
from smc_bench.models.shapes import HEAD_SIZE, LayerShape, Shapes
from smc_bench.models.units import Block, blocks
from smc_bench.tasks.base import Head

# Largest difference in float64, of logits that are at least 1: what is left of rounding there is
# a millionth of this, and a unit that was cut wrongly is far above it.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Living:
    """Indices of a block's units that are not removed, in rising order."""

    groups: Tensor
    neurons: Tensor


@dataclass(frozen=True)
class Shrunk:
    """What was left out of a model.

    Attributes:
        heads: Heads (or key-value groups) removed, and all there were.
        neurons: The same of neurons.
        parameters: Parameters of the smaller model, and of the model that it was made from.
        uniform: Whether transformers itself can load a folder of it.
    """

    heads: tuple[int, int]
    neurons: tuple[int, int]
    parameters: tuple[int, int]
    uniform: bool

    @property
    def anything(self) -> bool:
        """Whether a unit was removed."""
        return self.heads[0] + self.neurons[0] > 0

    def __str__(self) -> str:
        """In words, for people."""
        less = 1 - self.parameters[0] / self.parameters[1]
        return (
            f"{self.heads[0]} of {self.heads[1]} heads and {self.neurons[0]} of {self.neurons[1]} "
            f"neurons removed: {self.parameters[0]:,} parameters, {100 * less:.1f} % fewer"
        )


def living(model: Any) -> list[Living]:
    """Units of each block that contribute something.

    Raises:
        ModelError: The architecture is not known.
    """
    parameters = dict(model.named_parameters())
    found = []
    for block in blocks(model):
        groups = neurons = torch.empty(0, dtype=torch.long)
        if block.groups:
            output = parameters[block.tensor(block.names.output)].detach()
            by_group = output.view(block.hidden, block.groups, -1)
            groups = (by_group != 0).any(2).any(0).nonzero().flatten().cpu()
        if block.neurons:
            down = parameters[block.tensor(block.names.down)].detach()
            neurons = (down != 0).any(0).nonzero().flatten().cpu()
        found.append(Living(groups, neurons))
    return found


def shrink(model: Any) -> tuple[Any, Shrunk]:
    """A smaller model that computes what this one does.

    Args:
        model: A transformers model; not changed.

    Returns:
        A model with weights of its own, whose configuration says its shapes, and what was removed.

    Raises:
        ModelError: The architecture is not known.
    """
    there, alive = blocks(model), living(model)
    shapes = _shapes(model, there, alive)
    small = copy.deepcopy(model)
    reshape(small, shapes)
    own = dict(model.named_parameters())
    with torch.no_grad():
        taken = {
            name: part
            for pair in zip(there, alive, strict=True)
            for name, part in _taken(own, *pair).items()
        }
        for name, parameter in small.named_parameters():
            parameter.copy_(taken.get(name, own[name]))
    shapes.write(small.config)
    groups, neurons = sum(b.groups for b in there), sum(b.neurons for b in there)
    return small, Shrunk(
        (groups - sum(s.groups for s in shapes.layers), groups),
        (neurons - sum(s.neurons for s in shapes.layers), neurons),
        (_count(small), _count(model)),
        not hasattr(small.config, HEAD_SIZE),
    )


def save_shrunk(small: Any, folder: Path) -> None:
    """Write weights and configuration over those of a model folder."""
    small.config.architectures = [type(small).__name__]
    # Not by save_pretrained: LLaMA's configuration asks itself for the one number of heads there.
    small.config.to_json_file(folder / "config.json")
    tensors = {name: tensor.contiguous() for name, tensor in small.state_dict().items()}
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})


def check_same(model: Any, folder: Path, head: Head, labels: int) -> float:
    """Load a shrunk folder and hold its logits against those of the model it was made from.

    In float64, where sums in another order make no difference that counts.

    Args:
        model: With the removed units as zeros; left as it was.
        folder: As :func:`save_shrunk` wrote it.
        head: Kind of head.
        labels: Outputs of a classification head.

    Returns:
        The largest difference of a logit, relative to the largest logit where that is above 1.

    Raises:
        ModelError: The logits differ, or the folder can't be read back.
    """
    from smc_bench.export.onnx import example_inputs

    small = load_model(folder, head, labels, seed=0, finished=True).eval().double()
    large = copy.deepcopy(model).eval().double()
    worst = 0.0
    for batch, tokens in ((2, 16), (3, 9)):
        inputs = example_inputs(model, head, batch, tokens, seed=tokens)
        with torch.no_grad():
            wanted, found = large(**inputs), small(**inputs)
        for key in (k for k in wanted if k.endswith("logits")):
            scale = max(1.0, float(wanted[key].abs().max()))
            difference = float((wanted[key] - found[key]).abs().max()) / scale
            if not difference <= TOLERANCE:
                raise ModelError(
                    f"{folder}: the shrunk model's logits differ from the pruned model's by "
                    f"{difference:.2g} in float64; the folder is not to be used"
                )
            worst = max(worst, difference)
    return worst


def _shapes(model: Any, there: list[Block], alive: list[Living]) -> Shapes:
    layers = []
    for block, living_units in zip(there, alive, strict=True):
        kept = position_heads(model, block)
        mine = tuple(kept[i] for i in living_units.groups.tolist()) if kept else ()
        layers.append(LayerShape(len(living_units.groups), len(living_units.neurons), mine))
    size = max(block.head_size for block in there) or int(getattr(model.config, HEAD_SIZE, 1))
    return Shapes(size, max(block.queries for block in there), tuple(layers))


def _taken(parameters: Mapping[str, Tensor], block: Block, alive: Living) -> dict[str, Tensor]:
    """The rows and columns of a block's tensors that stay; those left whole are not among them."""
    names, size = block.names, block.head_size
    shared = _spread(alive.groups, size)
    query = _spread(alive.groups, size * block.queries)
    rows = {names.query: query, names.key: shared, names.value: shared}
    rows |= dict.fromkeys(names.up, alive.neurons)
    columns = {names.output: query, names.down: alive.neurons}
    found = {}
    for module, index in rows.items():
        for leaf in ("weight", "bias"):
            name = block.tensor(module, leaf)
            if name in parameters:
                found[name] = parameters[name].index_select(0, index.to(parameters[name].device))
    for module, index in columns.items():
        name = block.tensor(module)
        if name in parameters:
            found[name] = parameters[name].index_select(1, index.to(parameters[name].device))
    return found


def _spread(groups: Tensor, width: int) -> Tensor:
    """Feature indices of groups of so many features each."""
    return (groups[:, None] * width + torch.arange(width)).flatten()


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
