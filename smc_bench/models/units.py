"""Units of a model: attention heads, neurons and whole layers, as slices of named tensors.

A **head** is its rows of the query, key and value weights and its columns of the attention's output
projection; where several query heads share a key and a value (grouped-query attention), the group
with all of its query heads is one unit. A **neuron** is its row of the up (and gate) projection and
its column of the down projection. A **layer** is all of these. Zeros in the columns alone remove a
unit exactly, whatever its biases are: nothing of it reaches the residual stream.

Sizes are read from the tensors, not from the configuration, so that uneven layers are understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from smc_bench.errors import ModelError
from smc_bench.models.architecture import ARCHITECTURES, BlockNames

UnitKind = Literal["head", "neuron", "layer"]
KINDS: tuple[UnitKind, ...] = get_args(UnitKind)


@dataclass(frozen=True)
class Block:
    """One block of a model.

    Attributes:
        index: Its number.
        path: Its name in the model.
        names: What its architecture calls things.
        groups: Heads, or key-value groups of heads.
        queries: Query heads of a group.
        head_size: Size of a head; 0 where no head is left.
        neurons: Neurons of its feed-forward layer.
        hidden: Width of the residual stream.
    """

    index: int
    path: str
    names: BlockNames
    groups: int
    queries: int
    head_size: int
    neurons: int
    hidden: int

    def tensor(self, module: str, leaf: str = "weight") -> str:
        """The full name of a tensor of one of its modules."""
        return f"{self.path}.{module}.{leaf}"


@dataclass(frozen=True)
class Slice:
    """Whole rows (axis 0) or columns (axis 1) of a weight (out, in)."""

    tensor: str
    axis: Literal[0, 1]
    start: int
    stop: int

    def of(self, weight: Tensor) -> Tensor:
        """The slice of its tensor, as a view."""
        return weight.narrow(self.axis, self.start, self.stop - self.start)


@dataclass(frozen=True)
class Unit:
    """What is removed together.

    Attributes:
        kind: Head, neuron or layer.
        layer: Number of its block.
        index: Its number among the units of its kind in the block.
        members: All of its weights; slices of one kind's units never overlap.
        outputs: Those members whose zeros alone remove it.
        size: Number of its weights.
    """

    kind: UnitKind
    layer: int
    index: int
    members: tuple[Slice, ...]
    outputs: tuple[Slice, ...]
    size: int


def block_names(model_type: str) -> BlockNames:
    """What an architecture calls the modules of a block.

    Raises:
        ModelError: Its row does not say.
    """
    row = ARCHITECTURES.get(model_type)
    if row is None or row.block is None:
        known = ", ".join(name for name, each in ARCHITECTURES.items() if each.block is not None)
        raise ModelError(
            f"the heads and neurons of a {model_type!r} model are not known: known are {known}; "
            "name them in its row (block) in smc_bench/models/architecture.py"
        )
    return row.block


def blocks(model: Any) -> list[Block]:
    """The blocks of a model with a head or without one.

    Raises:
        ModelError: The architecture is not known, or a block is not as its row says.
    """
    names = block_names(str(model.config.model_type))
    start = "" if model.base_model is model else f"{model.base_model_prefix}."
    prefix = f"{start}{names.blocks}"
    found = model.get_submodule(prefix)
    return [_block(i, f"{prefix}.{i}", block, names) for i, block in enumerate(found)]


def units(model: Any, kinds: Iterable[UnitKind] = ("head", "neuron")) -> list[Unit]:
    """All units of some kinds, by layer.

    Heads and neurons together hold every prunable weight of the encoder's blocks once, and so do
    layers.

    Raises:
        ModelError: See :func:`blocks`.
    """
    wanted = tuple(kinds)
    makers = {"head": _heads, "neuron": _neurons, "layer": _layer}
    return [unit for block in blocks(model) for kind in wanted for unit in makers[kind](block)]


def _block(index: int, path: str, module: nn.Module, names: BlockNames) -> Block:
    def linear(name: str) -> nn.Linear | None:
        try:
            found = module.get_submodule(name)
        except AttributeError:
            return None
        return found if isinstance(found, nn.Linear) else None

    query, key, output = linear(names.query), linear(names.key), linear(names.output)
    down = linear(names.down)
    neurons = down.in_features if down else 0
    # What stands for a projection without inputs has its width too.
    hidden = int(module.get_submodule(names.output).out_features)  # type: ignore[arg-type]
    if query is None or key is None or output is None:
        return Block(index, path, names, 0, 1, 0, neurons, hidden)
    size = _head_size(module.get_submodule(names.attention), path)
    heads, groups = query.out_features // size, key.out_features // size
    if not groups or heads % groups or output.in_features != query.out_features:
        raise ModelError(
            f"{path}: {query.out_features} query, {key.out_features} key and {output.in_features} "
            f"output features are no whole groups of heads of size {size}"
        )
    return Block(index, path, names, groups, heads // groups, size, neurons, hidden)


def _head_size(attention: nn.Module, path: str) -> int:
    for name in ("attention_head_size", "head_dim"):
        size = getattr(attention, name, None)
        if isinstance(size, int) and size > 0:
            return size
    raise ModelError(f"{path}: its attention does not say how large a head is")


def _heads(block: Block) -> Iterator[Unit]:
    names, size = block.names, block.head_size
    wide = size * block.queries
    for i in range(block.groups):
        output = Slice(block.tensor(names.output), 1, i * wide, (i + 1) * wide)
        query = Slice(block.tensor(names.query), 0, i * wide, (i + 1) * wide)
        shared = (Slice(block.tensor(n), 0, i * size, (i + 1) * size) for n in _shared(names))
        weights = 2 * block.hidden * (wide + size)
        yield Unit("head", block.index, i, (query, *shared, output), (output,), weights)


def _shared(names: BlockNames) -> tuple[str, str]:
    return names.key, names.value


def _neurons(block: Block) -> Iterator[Unit]:
    names = block.names
    for i in range(block.neurons):
        down = Slice(block.tensor(names.down), 1, i, i + 1)
        up = (Slice(block.tensor(name), 0, i, i + 1) for name in names.up)
        size = block.hidden * (1 + len(names.up))
        yield Unit("neuron", block.index, i, (*up, down), (down,), size)


def _layer(block: Block) -> Iterator[Unit]:
    names, wide = block.names, block.groups * block.head_size
    rows = {names.query: wide * block.queries, names.key: wide, names.value: wide}
    rows |= dict.fromkeys(names.up, block.neurons)
    columns = {names.output: wide * block.queries, names.down: block.neurons}
    members = [Slice(block.tensor(n), 0, 0, count) for n, count in rows.items() if count]
    outputs = [Slice(block.tensor(n), 1, 0, count) for n, count in columns.items() if count]
    if outputs:
        size = block.hidden * (sum(rows.values()) + sum(columns.values()))
        yield Unit("layer", block.index, 0, (*members, *outputs), tuple(outputs), size)
