"""Which tensor of a model belongs to the embeddings, the blocks or the head, and may be pruned.

Biases and norms are never pruned: the prunable tensors are the weights of Linear and Embedding
modules; in the blocks, of Linear modules only (arXiv 2203.07259: query, key, value and the three
dense layers of each block). Tables of positions stay too, where a row says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn

from smc_bench.errors import ModelError
from smc_bench.models.architecture import COMPONENTS, Component, architecture


@dataclass(frozen=True)
class ComponentMap:
    """Prunable tensors and parameter counts of one model.

    Attributes:
        prunable: Component of each prunable parameter, in the model's own order. A parameter that
            is used in several places (tied) is there once, under its first name.
        parameters: All parameters of each component, biases and LayerNorm included.
        tied: Other components that a prunable parameter belongs to, and its name there.
    """

    prunable: dict[str, Component]
    parameters: dict[Component, int]
    tied: dict[str, dict[Component, str]] = field(default_factory=dict)

    def in_scope(self, scope: Iterable[Component]) -> list[str]:
        """Names of the prunable parameters of some components, in the model's own order.

        Raises:
            ModelError: If one is also used by a component that is not in scope, which would be
                pruned with it.
        """
        wanted = set(scope)
        for name, others in self.tied.items():
            places = {self.prunable[name]: name, **others}
            inside = [component for component in places if component in wanted]
            outside = [component for component in places if component not in wanted]
            if inside and outside:
                one, other = inside[0], outside[0]
                raise ModelError(
                    f"{places[one]} is tied to {places[other]}: they are one tensor, of {one} and "
                    f"{other}, so pruning the one prunes the other; have both in scope, or none"
                )
        return [
            name
            for name, component in self.prunable.items()
            if component in wanted or wanted & set(self.tied.get(name, ()))
        ]


def component_map(model: nn.Module) -> ComponentMap:
    """Sort a model's parameters into components.

    Raises:
        ModelError: If the architecture is not in the table, its components are not where that says,
            or its blocks have nothing to prune.
    """
    prefixes, unpruned = _prefixes(model), architecture(model.config).unpruned
    modules = dict(model.named_modules())
    prunable: dict[str, Component] = {}
    parameters: dict[Component, int] = dict.fromkeys(COMPONENTS, 0)
    for name, parameter in model.named_parameters():
        component = _component(name, prefixes)
        parameters[component] += parameter.numel()
        owner, _, leaf = name.rpartition(".")
        allowed = nn.Linear if component == "encoder" else (nn.Linear, nn.Embedding)
        never = owner.rpartition(".")[2] in unpruned
        if leaf == "weight" and isinstance(modules[owner], allowed) and not never:
            prunable[name] = component
    kind, base = getattr(model.config, "model_type", ""), base_prefix(model)
    if not parameters["embeddings"] or not parameters["encoder"]:
        raise ModelError(f"no embeddings or encoder found under {base!r} in a {kind} model")
    if "encoder" not in prunable.values():
        raise ModelError(
            f"there is nothing to prune in the blocks of this {kind} model: no weights of Linear "
            "layers"
        )
    return ComponentMap(prunable, parameters, _tied(model, prunable, prefixes))


def _tied(
    model: nn.Module, prunable: dict[str, Component], prefixes: dict[Component, tuple[str, ...]]
) -> dict[str, dict[Component, str]]:
    """Prunable parameters that another component uses too."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tied: dict[str, dict[Component, str]] = {}
    for other, parameter in model.named_parameters(remove_duplicate=False):
        first, component = names[id(parameter)], _component(other, prefixes)
        if first in prunable and prunable[first] != component:
            tied.setdefault(first, {}).setdefault(component, other)
    return tied


def head_parameters(model: nn.Module) -> list[str]:
    """Names of all parameters of the head, biases and LayerNorm included.

    Raises:
        ModelError: If the architecture is not in the table.
    """
    prefixes = _prefixes(model)
    return [n for n, _ in model.named_parameters() if _component(n, prefixes) == "head"]


def body_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of all tensors of embeddings and blocks.

    Raises:
        ModelError: If the architecture is not in the table.
    """
    return tuple(start for starts in _prefixes(model).values() for start in starts)


def pooler_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of tensors of the base model that are the head's."""
    base = base_prefix(model)
    return tuple(f"{base}{name}." for name in architecture(model.config).pooler)


def base_prefix(model: nn.Module) -> str:
    """Beginning of the names of the base model's tensors; empty where there is no base model.

    T5's class with a language model's head has the parts of the base model itself.
    """
    name = str(getattr(model, "base_model_prefix", ""))
    return f"{name}." if hasattr(model, name) else ""


def _prefixes(model: nn.Module) -> dict[Component, tuple[str, ...]]:
    """Beginnings of names by component; embeddings first, as some lie inside of the blocks."""
    row, base = architecture(model.config), base_prefix(model)
    return {
        "embeddings": tuple(f"{base}{name}." for name in row.embeddings),
        "encoder": tuple(f"{base}{name}." for name in row.blocks),
    }


def _component(name: str, prefixes: dict[Component, tuple[str, ...]]) -> Component:
    for component, starts in prefixes.items():
        if name.startswith(starts):
            return component
    return "head"
