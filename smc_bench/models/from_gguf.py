"""A model that llama.cpp would run (GGUF), written as a plain folder of float32 weights.

Quantised tensors are dequantised by the format's own package, ``gguf``, which also knows what each
tensor is called there. What is left to do: rows of queries and keys stand in llama.cpp's order of
rotary dimensions, and the tokenizer is kept as lists. No torch here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from smc_bench.errors import MissingDataError, ModelError

# llama.cpp, src/llama-vocab.cpp: "smollm" splits off each digit, then as GPT-2 does.
_DIGITS_ALONE = frozenset({"smollm"})
_CONTROL = 3  # gguf.TokenType.CONTROL


def convert(source: Path, folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer of a LLaMA model.

    The same file gives the same weights to the bit: value = scale x integer + minimum, in float32.

    Args:
        source: A GGUF file.
        folder: Where to; it exists and is empty.

    Raises:
        MissingDataError: The package ``gguf`` is not installed.
        ModelError: It is no GGUF file, of another architecture, or with another tokenizer.
    """
    try:
        import gguf
    except ImportError as error:
        raise MissingDataError(
            f"{source.name} is read with the package gguf, which is not installed: "
            "pip install 'smc-bench[gguf]'"
        ) from error
    try:
        reader = gguf.GGUFReader(source)
        fields = {name: field.contents() for name, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise ModelError(f"{source} is not a whole GGUF file: {error}") from error
    if fields.get("general.architecture") != "llama":
        raise ModelError(
            f"{source} is of the architecture {fields.get('general.architecture')!r}; only llama "
            "is converted from GGUF: give the folder of a model in safetensors format"
        )
    stored = {tensor.name: tensor for tensor in reader.tensors}
    try:
        config = _config(fields, tied="output.weight" not in stored)
        weights = _weights(stored, config, source)
        tokenizer, settings = _tokenizer(fields, source)
    except KeyError as error:
        raise ModelError(f"{source} does not say {error.args[0]}") from error
    from safetensors.numpy import save_file

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write(folder / "config.json", config)
    _write(folder / "tokenizer_config.json", settings)
    tokenizer.save(str(folder / "tokenizer.json"))


def _config(fields: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    """``LlamaConfig``, which says nothing of quantisation: the weights are plain from here on."""
    hidden, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "head_dim": fields.get("llama.attention.key_length", hidden // heads),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields.get("llama.attention.head_count_kv", heads),
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
        # Stored as float32: written with the digits that one has.
        "rms_norm_eps": _short(fields["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": _short(fields.get("llama.rope.freq_base", 10000.0)),
        "tie_word_embeddings": tied,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
    }


def _short(value: float) -> float:
    return float(str(np.float32(value)))


def _weights(
    stored: dict[str, Any], config: dict[str, Any], source: Path
) -> dict[str, np.ndarray[Any, Any]]:
    """All weights under transformers' names, float32."""
    import gguf

    layers = config["num_hidden_layers"]
    called = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config["num_key_value_heads"],
    }
    found: dict[str, np.ndarray[Any, Any]] = {}
    left = dict(stored)
    for name in _names(layers, tied=config["tie_word_embeddings"]):
        tensor = left.pop(str(called.get_name(name, (".weight",))), None)
        if tensor is None:
            raise ModelError(f"{source} has no tensor for {name}")
        values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type), np.float32)
        kind = name.split(".")[-2]
        if kind in heads:
            values = _unpermuted(values, heads[kind])
        found[name] = values
    if left:
        raise ModelError(f"{source} has tensors that LLaMA has no place for: {', '.join(left)}")
    return found


def _names(layers: int, *, tied: bool) -> list[str]:
    inside = [f"self_attn.{kind}_proj" for kind in "qkvo"]
    inside += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    inside += ["input_layernorm", "post_attention_layernorm"]
    names = ["model.embed_tokens", *([] if tied else ["lm_head"]), "model.norm"]
    names += [f"model.layers.{layer}.{name}" for layer in range(layers) for name in inside]
    return [f"{name}.weight" for name in names]


def _unpermuted(values: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Undo ``LlamaModel.permute`` of llama.cpp: (even, odd) pairs become two halves of a head."""
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows, columns)


def _tokenizer(fields: dict[str, Any], source: Path) -> tuple[Any, dict[str, Any]]:
    """The tokenizer, and what ``tokenizer_config.json`` says of it."""
    kind = fields["tokenizer.ggml.model"], fields.get("tokenizer.ggml.pre")
    if kind[0] != "gpt2" or kind[1] not in _DIGITS_ALONE:
        raise ModelError(
            f"{source} has a tokenizer of the kind {kind[0]}, {kind[1]}, which is not one that is "
            f"converted (gpt2 with {', '.join(sorted(_DIGITS_ALONE))}): copy tokenizer.json of "
            "the model itself"
        )
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=False))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    made.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    made.add_special_tokens([AddedToken(token, special=True) for token in special])
    settings: dict[str, Any] = {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": fields["llama.context_length"],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = fields.get(f"tokenizer.ggml.{key}_token_id")
        if number is not None:
            settings[f"{name}_token"] = tokens[number]
    if fields.get("tokenizer.chat_template"):
        settings["chat_template"] = fields["tokenizer.chat_template"]
    return made, settings


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
