"""Which architectures there are: one row says all that the project has to know of one.

Loading, packing, cost, the sorting of tensors into components
(:mod:`smc_bench.models.components`) and units (:mod:`smc_bench.models.units`) read these rows.
There are three components: the embeddings, the blocks (called ``encoder`` in recipes and records,
also for decoders), and the head, which is everything else. No torch here: recipes are made of these
names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from smc_bench.errors import ModelError

Component = Literal["embeddings", "encoder", "head"]
COMPONENTS: tuple[Component, ...] = ("embeddings", "encoder", "head")
Kind = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True)
class BlockNames:
    """What one architecture calls the Linear modules of a block, relative to the block.

    Attributes:
        blocks: The list of blocks, relative to the base model.
        query: Query projection; ``key``, ``value`` and ``output`` likewise.
        up: Projections into the feed-forward layer's neurons: one, or gate and up.
        down: The projection out of them.
        heads_key: What the configuration calls the number of query heads.
        groups_key: What it calls the number of key-value heads, where it has one.
        head_size_key: What it calls the size of a head; empty where it is hidden size over heads,
            so that fewer heads of the same size can't be written there.
        neurons_key: What it calls the number of neurons.
        position_argument: Which argument of the attention is a bias by head that all layers share,
            counted from 0; None where there is none.
    """

    blocks: str
    query: str
    key: str
    value: str
    output: str
    up: tuple[str, ...]
    down: str
    heads_key: str = "num_attention_heads"
    groups_key: str = ""
    head_size_key: str = ""
    neurons_key: str = "intermediate_size"
    position_argument: int | None = None

    @property
    def attention(self) -> str:
        """The module that computes attention."""
        return self.query.rpartition(".")[0]


_BERT_BLOCK = BlockNames(
    blocks="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    up=("intermediate.dense",),
    down="output.dense",
)
_DISTILBERT_BLOCK = BlockNames(
    blocks="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    up=("ffn.lin1",),
    down="ffn.lin2",
    heads_key="n_heads",
    neurons_key="hidden_dim",
)
_MPNET_BLOCK = replace(
    _BERT_BLOCK,
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    output="attention.attn.o",
    position_argument=2,
)
_LLAMA_BLOCK = BlockNames(
    blocks="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    output="self_attn.o_proj",
    up=("mlp.gate_proj", "mlp.up_proj"),
    down="mlp.down_proj",
    groups_key="num_key_value_heads",
    head_size_key="head_dim",
)


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
        block: What a block's modules are called; None where its heads and neurons are not known,
            so that they can't be removed as units.
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
    block: BlockNames | None = None


_LLAMA = Architecture(
    kind="decoder",
    embeddings=("embed_tokens",),
    blocks=("layers", "norm"),
    pooler=(),
    packable=True,
    dropout=("attention_dropout",),
    block=_LLAMA_BLOCK,
)
# Each from transformers/models/<name>/modeling_<name>.py, with underscores for hyphens, and its
# configuration_<name>.py, unless a comment names another module.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(token_types=True, packable=True, block=_BERT_BLOCK),
    "roberta": Architecture(after_padding=True, packable=True, block=_BERT_BLOCK),
    "xlm-roberta": Architecture(after_padding=True, packable=True, block=_BERT_BLOCK),
    "camembert": Architecture(after_padding=True, packable=True, block=_BERT_BLOCK),
    "distilbert": Architecture(
        blocks=("transformer",),
        packable=True,
        dropout=("dropout", "attention_dropout"),
        block=_DISTILBERT_BLOCK,
    ),
    "electra": Architecture(
        embeddings=("embeddings", "embeddings_project"),
        token_types=True,
        packable=True,
        block=_BERT_BLOCK,
    ),
    "mpnet": Architecture(after_padding=True, block=_MPNET_BLOCK),
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
    "qwen3": _LLAMA,  # its norms of queries and keys are over one head, the same for all heads
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
