"""A tiny random model of any architecture, as a configuration or as a folder with a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from smc_bench.models.architecture import ARCHITECTURES, architecture
from smc_bench.models.conv1d import use_linear
from smc_bench.models.heads import model_class, outputs_of
from smc_bench.tasks.base import Head

# Names that configurations give to sizes; each takes those that it has. Windows are shorter than
# texts, keys and values have fewer heads than queries, OPT's embeddings are projected, DeBERTa's
# attention is that of v3 and T5's feed-forward layers are gated.
SIZES: dict[str, Any] = {
    "hidden_size": 32, "dim": 32, "d_model": 32, "n_embd": 32, "embedding_size": 16,
    "word_embed_proj_dim": 16, "num_hidden_layers": 2, "n_layers": 2, "n_layer": 2, "num_layers": 2,
    "num_decoder_layers": 2, "num_attention_heads": 4, "n_heads": 4, "n_head": 4, "num_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "d_kv": 8, "intermediate_size": 64, "hidden_dim": 64,
    "ffn_dim": 64, "d_ff": 64, "vocab_size": 50, "max_position_embeddings": 64, "n_positions": 64,
    "sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1, "local_attention": 8,
    "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "feed_forward_proj": "gated-gelu",
    "initializer_range": 0.3, "init_std": 0.3, "initializer_factor": 2.0,
}  # fmt: skip
# The ids of special tokens, whatever an architecture calls them.
SPECIAL: dict[str, Any] = {
    "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3,
    "decoder_start_token_id": 0,
}  # fmt: skip
WORDS = [chr(ord("a") + i) for i in range(26)]


def tiny_config(kind: str, **more: Any) -> Any:
    default = AutoConfig.for_model(kind)
    known = {key: value for key, value in SIZES.items() if hasattr(default, key)}
    return AutoConfig.for_model(kind, **known | SPECIAL | more)


def tiny_model(kind: str, head: Head, labels: int = 3, **more: Any) -> Any:
    """In eval mode, with Linear layers in place of Conv1D, as loading makes it."""
    config = tiny_config(kind, **more)
    config.num_labels = outputs_of(config, head, labels)
    torch.manual_seed(0)
    model = model_class(config, head).from_config(config)
    use_linear(model)
    return model.eval()


def tiny_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Letters; like the architecture's own it puts tokens around texts, ends them, or does not."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    how = ARCHITECTURES[kind].kind
    if how == "encoder":
        raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    elif how == "decoder":
        names = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    else:
        raw.post_processor = processors.TemplateProcessing(
            single="$A [SEP]", pair="$A [SEP] $B [SEP]", special_tokens=[("[SEP]", 3)]
        )
        names |= {"eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names)


def tiny_folder(kind: str, folder: Path, **more: Any) -> Path:
    """A base model without a head and its tokenizer, as transformers writes them."""
    config = tiny_config(kind, **more)
    if architecture(config).kind == "decoder":
        config.pad_token_id = None
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tiny_tokenizer(kind).save_pretrained(folder)
    return folder
