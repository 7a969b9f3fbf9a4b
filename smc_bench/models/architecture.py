"""Which architectures there are: one row says all that the project has to know of one.

Loading, packing, cost, and the sorting of tensors into components
(:mod:`smc_bench.models.components`) read these rows. There are three components: the embeddings,
the blocks (called ``encoder`` in recipes and records, also for decoders), and the head, which is
everything else. No torch here: recipes are made of these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from smc_bench.errors import ModelError

Component = Literal["embeddings", "encoder", "head"]
COMPONENTS: tuple[Component, ...] = ("embeddings", "encoder", "head")
Kind = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture; the defaults are BERT's.

    Attributes:
        kind: What it reads a sequence with. Heads of an encoder read its first token or all; one of
            a decoder (``score``) reads the last token; one of an encoder-decoder what the decoder
            makes of the sequence's end token.
        embeddings: Submodules of the base model that are embeddings.
        blocks: Submodules of the base model that are blocks, with their last norm.
        pooler: Submodules of the base model that belong to the head (a column of costs).
        unpruned: Embedding modules that are never pruned: tables of positions. (Those of the first
            seven rows are pruned with the embeddings, as in all records so far.)
        token_types: Whether the model is given a tokenizer's token types.
        after_padding: Whether positions are numbered from ``pad_token_id`` + 1, not from 0.
        packable: Whether its layers use transformers' attention interface, and hand on keyword
            arguments to it, so that a batch needs no padding.
        dropout: Names of its dropout rates in ``config.json``.
    """

    kind: Kind = "encoder"
    embeddings: tuple[str, ...] = ("embeddings",)
    blocks: tuple[str, ...] = ("encoder",)
    pooler: tuple[str, ...] = ("pooler",)
    unpruned: tuple[str, ...] = ()
    token_types: bool = False
    after_padding: bool = False
    packable: bool = False
    dropout: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")


_LLAMA = Architecture(
    kind="decoder",
    embeddings=("embed_tokens",),
    blocks=("layers", "norm"),
    pooler=(),
    packable=True,
    dropout=("attention_dropout",),
)
# Each from transformers/models/<name>/modeling_<name>.py, with underscores for hyphens, and its
# configuration_<name>.py, unless a comment names another module.
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
    # One set of blocks called many times: one parameter, masked once.
    "albert": Architecture(
        embeddings=("embeddings", "encoder.embedding_hidden_mapping_in"),
        unpruned=("position_embeddings",),
        token_types=True,
        packable=True,
        dropout=(
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "classifier_dropout_prob",
        ),
    ),
    # DeBERTa-v3 too (transformers/models/deberta_v2); its attention is its own.
    "deberta-v2": Architecture(
        pooler=(),
        unpruned=("position_embeddings", "rel_embeddings"),
        dropout=("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout"),
    ),
    "modernbert": Architecture(
        blocks=("layers", "final_norm"),
        pooler=(),
        packable=True,
        dropout=(
            "embedding_dropout",
            "mlp_dropout",
            "attention_dropout",
            "classifier_dropout",
        ),
    ),
    "gpt2": Architecture(
        kind="decoder",
        embeddings=("wte", "wpe"),
        blocks=("h", "ln_f"),
        pooler=(),
        unpruned=("wpe",),
        packable=True,
        dropout=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    ),
    "llama": _LLAMA,  # SmolLM2 too
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    # Pythia (transformers/models/gpt_neox)
    "gpt_neox": Architecture(
        kind="decoder",
        embeddings=("embed_in",),
        blocks=("layers", "final_layer_norm"),
        pooler=(),
        packable=True,
        dropout=("hidden_dropout", "attention_dropout"),
    ),
    "opt": Architecture(
        kind="decoder",
        embeddings=tuple(
            f"decoder.{name}"
            for name in ("embed_tokens", "embed_positions", "project_in", "project_out")
        ),
        blocks=("decoder",),
        pooler=(),
        unpruned=("embed_positions",),
        packable=True,
        dropout=("dropout", "attention_dropout"),
    ),
    # flan-T5 too; its bias of positions is made for whole batches, so these are padded.
    "t5": Architecture(
        kind="encoder-decoder",
        embeddings=("shared", "encoder.embed_tokens", "decoder.embed_tokens"),  # one tensor
        blocks=("encoder", "decoder"),
        pooler=(),
        unpruned=("relative_attention_bias",),
        dropout=("dropout_rate", "classifier_dropout"),
    ),
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


def no_head(model_type: str, head: str) -> str | None:
    """Why an architecture has no head of a kind whose weights really load; None where it has.

    Args:
        model_type: As in ``config.json``; one without a row is not judged.
        head: A :data:`smc_bench.tasks.base.Head`.
    """
    row = ARCHITECTURES.get(model_type)
    if row is None:
        return None
    named = f"the architecture {model_type!r} is that of {_ARTICLE[row.kind]} {row.kind}, which"
    if head == "question_answering" and row.kind == "decoder":
        return (
            f"{named} marks no spans (transformers' own class for it would quietly start from new "
            "weights): choose another task, an encoder, or T5"
        )
    if head == "language_modelling" and row.kind == "encoder":
        return f"{named} writes no text: choose another task, or a decoder such as GPT-2"
    return None


_ARTICLE: dict[Kind, str] = {"encoder": "an", "decoder": "a", "encoder-decoder": "an"}
