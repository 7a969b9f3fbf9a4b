"""Which tensor belongs to the embeddings, the encoder or the head, per architecture.

One table. The head is the pooler and the classifier: everything outside embeddings and encoder.
Biases and LayerNorm are never pruned: the prunable tensors are the weights of Linear and Embedding
modules; in the encoder, of Linear modules only (arXiv 2203.07259: query, key, value and the three
dense layers of each block).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from smc_bench.engine.recipe import COMPONENTS, Component
from smc_bench.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """Names of submodules inside the base model, by component."""

    embeddings: tuple[str, ...] = ("embeddings",)
    encoder: tuple[str, ...] = ("encoder",)


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(),
    "roberta": Architecture(),
    "xlm-roberta": Architecture(),
    "camembert": Architecture(),
    "distilbert": Architecture(encoder=("transformer",)),
    "electra": Architecture(embeddings=("embeddings", "embeddings_project")),
    "mpnet": Architecture(),
}


@dataclass(frozen=True)
class ComponentMap:
    """Prunable tensors and parameter counts of one model.

    Attributes:
        prunable: Component of each prunable parameter, in the model's own order.
        parameters: All parameters of each component, biases and LayerNorm included.
    """

    prunable: dict[str, Component]
    parameters: dict[Component, int]

    def in_scope(self, scope: Iterable[Component]) -> list[str]:
        """Names of the prunable parameters of some components, in the model's own order."""
        wanted = set(scope)
        return [name for name, component in self.prunable.items() if component in wanted]


def component_map(model: nn.Module) -> ComponentMap:
    """Sort a model's parameters into components.

    Raises:
        ModelError: If the architecture is not in the table, or a part of it is not where it says.
    """
    prefixes = _prefixes(model)
    modules = dict(model.named_modules())
    prunable: dict[str, Component] = {}
    parameters: dict[Component, int] = dict.fromkeys(COMPONENTS, 0)
    for name, parameter in model.named_parameters():
        component = _component(name, prefixes)
        parameters[component] += parameter.numel()
        owner, _, leaf = name.rpartition(".")
        allowed = nn.Linear if component == "encoder" else (nn.Linear, nn.Embedding)
        if leaf == "weight" and isinstance(modules[owner], allowed):
            prunable[name] = component
    if not parameters["embeddings"] or not parameters["encoder"]:
        kind = getattr(model.config, "model_type", "")
        base = getattr(model, "base_model_prefix", "")
        raise ModelError(f"no embeddings or encoder found under {base!r} in a {kind} model")
    return ComponentMap(prunable, parameters)


def head_parameters(model: nn.Module) -> list[str]:
    """Names of all parameters of the head, biases and LayerNorm included.

    Raises:
        ModelError: If the architecture is not in the table.
    """
    prefixes = _prefixes(model)
    return [n for n, _ in model.named_parameters() if _component(n, prefixes) == "head"]


def body_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of all tensors of embeddings and encoder.

    Raises:
        ModelError: If the architecture is not in the table.
    """
    return tuple(start for starts in _prefixes(model).values() for start in starts)


def _prefixes(model: nn.Module) -> dict[Component, tuple[str, ...]]:
    model_type = str(getattr(model.config, "model_type", ""))
    architecture = ARCHITECTURES.get(model_type)
    if architecture is None:
        raise ModelError(
            f"the architecture {model_type!r} is not known: known are {', '.join(ARCHITECTURES)}; "
            "add a line to smc_bench/models/architecture.py"
        )
    base = str(getattr(model, "base_model_prefix", ""))
    return {
        "embeddings": tuple(f"{base}.{part}." for part in architecture.embeddings),
        "encoder": tuple(f"{base}.{part}." for part in architecture.encoder),
    }


def _component(name: str, prefixes: dict[Component, tuple[str, ...]]) -> Component:
    for component, starts in prefixes.items():
        if name.startswith(starts):
            return component
    return "head"
