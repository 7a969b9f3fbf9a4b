"""A BERT encoder that was exported to ONNX by torch, written as a plain folder of weights.

Biases, norms and tables keep their names in such a file. The matrix of a linear layer does not: it
is folded with its transposition into a constant of another name, which is found by the layer's
bias: the Add that has the bias adds it to the product that has the matrix. No torch here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from smc_bench.errors import MissingDataError, ModelError

_EMBEDDINGS = "embeddings.word_embeddings.weight"
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


def convert(source: Path, folder: Path, *, heads: int) -> None:
    """Write ``config.json`` and ``model.safetensors`` of a ``BertModel``, without its pooler.

    Args:
        source: An ONNX file of a BERT encoder with named float32 weights.
        folder: Where to; it exists and is empty.
        heads: Attention heads, which the shapes of weights do not tell.

    Raises:
        MissingDataError: The package ``onnx`` is not installed.
        ModelError: The file is damaged, or is not such an encoder.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDataError(
            f"{source.name} is read with the package onnx, which is not installed: "
            "pip install 'smc-bench[onnx]'"
        ) from error
    try:
        graph = onnx.load(source).graph
    except Exception as error:  # protobuf's own, which onnx does not document
        raise ModelError(f"{source} is not a whole ONNX file: {error}") from error
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    prefix = _prefix(stored, source)
    named = {n.removeprefix(prefix): v for n, v in stored.items() if n.startswith(prefix)}
    weights = dict(named)
    for bias in named:
        layer = bias.removesuffix(".bias")
        if layer != bias and not layer.endswith("LayerNorm"):
            weights[f"{layer}.weight"] = _matrix(graph.node, stored, prefix + bias, source)
    config = _config(weights, heads, source)
    from safetensors.numpy import save_file

    plain = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
    save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "config.json").write_text(f"{text}\n", "utf-8")


def _prefix(stored: dict[str, Any], source: Path) -> str:
    for name in stored:
        if name.endswith(_EMBEDDINGS):
            return name.removesuffix(_EMBEDDINGS)
    raise ModelError(f"{source} has no tensor {_EMBEDDINGS}: it is no BERT encoder with named ones")


def _matrix(nodes: Any, stored: dict[str, Any], bias: str, source: Path) -> Any:
    """The weight, (out, in), of the layer that adds ``bias``."""
    added = [node for node in nodes if node.op_type == "Add" and bias in node.input]
    summands = {name for node in added for name in node.input}
    products = [n for n in nodes if n.op_type == "MatMul" and summands & set(n.output)]
    matrices = [stored[name] for n in products for name in n.input if name in stored]
    if len(matrices) != 1:
        raise ModelError(f"{source}: {len(matrices)} matrices (not 1) go with {bias}")
    return matrices[0].T


def _config(weights: dict[str, Any], heads: int, source: Path) -> dict[str, Any]:
    """``BertConfig`` by the shapes of the weights."""
    layers = {int(found[1]) for found in map(_LAYER.match, weights) if found}
    try:
        vocabulary, hidden = weights[_EMBEDDINGS].shape
        positions = weights["embeddings.position_embeddings.weight"].shape[0]
        types = weights["embeddings.token_type_embeddings.weight"].shape[0]
        inner = weights["encoder.layer.0.intermediate.dense.weight"].shape[0]
    except KeyError as error:
        raise ModelError(f"{source} has no tensor {error.args[0]}: it is no BERT encoder") from None
    return {
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": positions,
        "model_type": "bert",
        "num_attention_heads": heads,
        "num_hidden_layers": len(layers),
        "pad_token_id": 0,
        "type_vocab_size": types,
        "vocab_size": vocabulary,
    }
