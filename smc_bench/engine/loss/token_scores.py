"""What a language model says of the tokens of texts: inputs, scored positions, log probabilities.

A decoder reads a text and predicts each token from those before it; logits are made where a token
is scored and nowhere else. An encoder-decoder reads the first ``read`` tokens and its decoder
predicts the rest, each from those before it (prefix language modelling: arXiv 1910.10683, section
3.2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from smc_bench.models.architecture import architecture
from smc_bench.models.layout import Layout
from smc_bench.tasks.base import Feature

# Logits that one forward pass of an evaluation may make: 1 GB of float32.
_MOST_LOGITS = 1 << 28


def scored_counts(features: Sequence[Feature], kind: str) -> list[int]:
    """How many tokens of each feature are scored by a kind of architecture."""
    key = "read" if kind == "encoder-decoder" else "scored_from"
    return [len(feature["input_ids"]) - int(feature[key]) for feature in features]


def scored_tokens(features: Sequence[Feature], kind: str) -> Tensor:
    """Ids of the scored tokens, feature by feature, (S,)."""
    counts = scored_counts(features, kind)
    ids = [feature["input_ids"][-n:] for feature, n in zip(features, counts, strict=True) if n]
    return torch.tensor([token for some in ids for token in some], dtype=torch.long)


def written(model: Any, features: Sequence[Feature], pad: int) -> dict[str, Tensor]:
    """A padded batch for an encoder-decoder: what is read, and what its decoder is given.

    Returns:
        ``input_ids`` and ``attention_mask`` (n, longest read) and ``decoder_input_ids`` (n, longest
        written), which begin with the model's start token. The latter is one token longer where
        both would be as long: what a layer is given then shows whose tokens they are.
    """
    start = int(model.config.decoder_start_token_id)
    read = [feature["input_ids"][: feature["read"]] for feature in features]
    given = [[start, *feature["input_ids"][feature["read"] : -1]] for feature in features]
    mask = _padded([[1] * len(ids) for ids in read], 0)
    decoder = _padded(given, pad)
    if decoder.shape == mask.shape:
        decoder = torch.nn.functional.pad(decoder, (0, 1), value=pad)
    return {
        "input_ids": _padded(read, pad),
        "attention_mask": mask,
        "decoder_input_ids": decoder,
    }


def real_written(features: Sequence[Feature], inputs: dict[str, Tensor]) -> Tensor:
    """True at the decoder's real inputs, (n, longest written)."""
    ids = inputs["decoder_input_ids"]
    counts = torch.tensor(scored_counts(features, "encoder-decoder"), device=ids.device)
    return torch.arange(ids.shape[1], device=ids.device)[None, :] < counts[:, None]


def token_logits(model: Any, inputs: dict[str, Any], counts: Sequence[int]) -> Tensor:
    """Logits of the model's own forward at each position that predicts a scored token.

    Args:
        model: With the head of a language model.
        inputs: A padded or (with ``layout``) packed batch.
        counts: Scored tokens of each sequence: its last ones.

    Returns:
        Shape (S, vocabulary), sequence by sequence.
    """
    layout: Layout | None = inputs.get("layout")
    device = inputs["input_ids"].device
    if layout is not None:
        ends = torch.tensor(layout.lengths).cumsum(0).tolist()
        places = [
            at for end, n in zip(ends, counts, strict=True) for at in range(end - n - 1, end - 1)
        ]
        kept = torch.tensor(places, device=device)
        packed: Tensor = model(**inputs, use_cache=False, logits_to_keep=kept).logits
        return packed[0]
    logits: Tensor = model(**inputs, use_cache=False).logits
    if architecture(model.config).kind == "encoder-decoder":
        spans = [(0, n) for n in counts]
    else:
        ends = inputs["attention_mask"].sum(-1).tolist()
        spans = [(end - n - 1, end - 1) for end, n in zip(ends, counts, strict=True)]
    return torch.cat([row[first:last] for row, (first, last) in zip(logits, spans, strict=True)])


def nats_and_peaks(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Minus the log probability of each token, and the log probability of the likeliest, (S,)."""
    found = torch.log_softmax(logits, dim=-1)
    return -found.gather(-1, tokens[:, None])[:, 0], found.max(dim=-1).values


def batch_that_fits(batch: int, longest: int, vocabulary: int) -> int:
    """As many sequences as a batch of an evaluation may have, for its logits to fit in memory."""
    return max(1, min(batch, _MOST_LOGITS // max(1, longest * vocabulary)))


def _padded(rows: list[list[int]], fill: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
