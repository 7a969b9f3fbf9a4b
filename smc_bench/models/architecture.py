"""Which architectures there are: one row says all that the project has to know of one.

Loading, packing, cost, and the sorting of tensors into components read these rows. There are three
components: the embeddings, the blocks (called ``encoder`` in recipes and records, also for
decoders), and the head, which is everything else. Biases and norms are never pruned: the prunable
tensors are the weights of Linear and Embedding modules; in the blocks, of Linear modules only
(arXiv 2203.07259: query, key, value and the three dense layers of each block).

No torch at import: planning reads this module too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from smc_bench.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

Component = Literal["embeddings", "encoder", "head"]
COMPONENTS: tuple[Component, ...] = ("embeddings", "encoder", "head")


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture; the defaults are BERT's.

    Attributes:
        embeddings: Submodules of the base model that are embeddings.
        blocks: Submodules of the base model that are blocks, with their last norm.
        pooler: Submodules of the base model that belong to the head (a column of costs).
        token_types: Whether the model is given a tokenizer's token types.
        after_padding: Whether positions are numbered from ``pad_token_id`` + 1, not from 0.
        packable: Whether its layers use transformers' attention interface, and hand on keyword
            arguments to it, so that a batch needs no padding.
        dropout: Names of its dropout rates in ``config.json``.
    """

    embeddings: tuple[str, ...] = ("embeddings",)
    blocks: tuple[str, ...] = ("encoder",)
    pooler: tuple[str, ...] = ("pooler",)
    token_types: bool = False
    after_padding: bool = False
    packable: bool = False
    dropout: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")


# Each from transformers/models/<name>/modeling_<name>.py, with underscores for hyphens.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(token_types=True, packable=True),
    "roberta": Architecture(after_padding=True, packable=True),
    "xlm-roberta": Architecture(after_padding=True, packable=True),
    "camembert": Architecture(after_padding=True, packable=True),
    "distilbert": Architecture(
        blocks=("transformer",), packable=True, dropout=("dropout", "attention_dropout")
    ),
    "electra": Architecture(
        embeddings=("embeddings", "embeddings_project"), token_types=True, packable=True
    ),
    "mpnet": Architecture(after_padding=True),
}


def architecture(config: Any) -> Architecture:
    """The row of a model's configuration.

    Raises:
        ModelError: If there is none.
    """
    name = str(getattr(config, "model_type", ""))
    if name not in ARCHITECTURES:
        raise ModelError(
            f"the architecture {name!r} is not known: known are {', '.join(ARCHITECTURES)}; "
            "add a row to smc_bench/models/architecture.py"
        )
    return ARCHITECTURES[name]


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
    from torch import nn

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
    """Beginnings of the names of all tensors of embeddings and blocks.

    Raises:
        ModelError: If the architecture is not in the table.
    """
    return tuple(start for starts in _prefixes(model).values() for start in starts)


def _prefixes(model: nn.Module) -> dict[Component, tuple[str, ...]]:
    """Beginnings of names by component; embeddings first, as some lie inside of the blocks."""
    row = architecture(model.config)
    base = str(getattr(model, "base_model_prefix", ""))
    return {
        "embeddings": tuple(f"{base}.{name}." for name in row.embeddings),
        "encoder": tuple(f"{base}.{name}." for name in row.blocks),
    }


def _component(name: str, prefixes: dict[Component, tuple[str, ...]]) -> Component:
    for component, starts in prefixes.items():
        if name.startswith(starts):
            return component
    return "head"
