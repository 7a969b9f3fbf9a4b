"""Depth-pruned models: some blocks of a model, left out for good or put back for comparison.

The blocks that stay keep their weights, to the bit, and their order. ``config.json`` says how many
there are, so that transformers loads the model as any other, and by a key of ours
(``kept_layers``) which of how many they were.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from smc_bench.errors import ModelError
from smc_bench.models.units import block_names

KEPT_LAYERS = "kept_layers"
_COUNTS = ("num_hidden_layers", "n_layers", "n_layer")
_BY_LAYER = ("layer_types",)  # lists of a configuration with one entry a block


def keep_layers(model: Any, kept: Sequence[int]) -> None:
    """Leave only some blocks of a model, in place.

    Args:
        model: A model of an architecture whose blocks are known.
        kept: Their numbers, from 0, rising.

    Raises:
        ModelError: The architecture is not known, or has no such blocks.
    """
    path, there = _blocks(model)
    if not kept or max(kept) >= len(there):
        raise ModelError(
            f"train.keep_layers: {list(kept)}: the model has {len(there)} blocks, counted from 0"
        )
    _put(model, path, [there[i] for i in kept])
    for name in _BY_LAYER:
        given = getattr(model.config, name, None)
        if isinstance(given, list):
            setattr(model.config, name, [given[i] for i in kept])
    before = getattr(model.config, KEPT_LAYERS, {"of": len(there), "kept": range(len(there))})
    names = [before["kept"][i] for i in kept]
    setattr(model.config, KEPT_LAYERS, {"of": before["of"], "kept": names})


def with_all_layers(model: Any) -> Any:
    """The model itself, or of a depth-pruned one a copy with as many blocks as there were.

    Those that are put back are copies of the first: it is for counting and timing.
    """
    said = getattr(model.config, KEPT_LAYERS, None)
    if said is None:
        return model
    whole = copy.deepcopy(model)
    path, there = _blocks(whole)
    # With the model's own configuration, by which it chooses how attention is computed.
    missing = range(int(said["of"]) - len(there))
    more = [copy.deepcopy(there[0], {id(whole.config): whole.config}) for _ in missing]
    for name in _BY_LAYER:
        given = getattr(whole.config, name, None)
        if isinstance(given, list):
            setattr(whole.config, name, [*given, *given[:1] * len(more)])
    _put(whole, path, [*there, *more])
    delattr(whole.config, KEPT_LAYERS)
    return whole


def _blocks(model: Any) -> tuple[str, nn.ModuleList]:
    names = block_names(str(model.config.model_type))
    start = "" if model.base_model is model else f"{model.base_model_prefix}."
    path = f"{start}{names.blocks}"
    return path, model.get_submodule(path)


def _put(model: Any, path: str, blocks: list[nn.Module]) -> None:
    model.set_submodule(path, nn.ModuleList(blocks))
    for index, block in enumerate(blocks):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = index  # type: ignore[assignment]
    for name in _COUNTS:
        if name in vars(model.config):
            setattr(model.config, name, len(blocks))
