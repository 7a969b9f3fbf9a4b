"""Models on real tokens only: a batch as one row of tokens, attention sequence by sequence.

Through transformers' own extension points: an attention function of our own registered with
``AttentionInterface`` and ``AttentionMaskInterface``, position ids, and keyword arguments that
models hand on to their layers. No model is rewritten. Linear layers, LayerNorm, GELU and embeddings
see a batch as (1, tokens); attention puts its queries, keys and values into padded groups of like
length and takes the results out again. Behind an encoder a hook lays sequences side by side, so
that stock heads find position 0 and spans where they look for them; what heads of decoders read is
in :mod:`smc_bench.models.last_token`.

What this saves is the arithmetic on padding: batches of 32 short sentences padded to the longest
are more than half padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from smc_bench.models.architecture import architecture
from smc_bench.models.layout import Layout, place, take

ATTENTION = "smc_bench_packed"
"""Name of the attention function; on padded batches it is transformers' ``sdpa``."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention of each sequence with itself; (1, heads, T, d) each in, (1, T, heads, d) out.

    Without a layout it is transformers' ``sdpa`` on a padded batch. Keys and values may have fewer
    heads than queries (grouped-query attention). In a decoder a token sees none behind it, so no
    padding either.

    Args:
        module: The layer; says whether it is causal.
        query: Queries.
        key: Keys.
        value: Values.
        attention_mask: Of a padded batch.
        dropout: Rate of dropout of attention.
        scaling: Factor of query-key products.
        layout: How sequences lie in a packed batch.
        sliding_window: Tokens see those nearer than this, in the layers that have such a window.
        rest: What else models hand on.
    """
    causal = bool(getattr(module, "is_causal", False))
    if layout is None:
        if attention_mask is None:
            attention_mask = _window(query, key, causal, sliding_window)
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
    shared = query.shape[1] // key.shape[1]
    # Split, not sliced: the way back is then one concatenation, not a sum over groups.
    sizes = [group.count * group.length for group in layout.groups]
    spread = [
        torch.split(place(part[0].transpose(0, 1), layout.slots, layout.total), sizes)
        for part in (query, key, value)
    ]
    outputs = []
    for group, *parts in zip(layout.groups, *spread, strict=True):
        q, k, v = (
            part.view(group.count, group.length, *part.shape[1:]).transpose(1, 2) for part in parts
        )
        if shared > 1:
            k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        seen = _window(q, k, causal, sliding_window)
        if not causal and group.mask is not None:
            seen = group.mask if seen is None else seen & group.mask
        found = _attend(q, k, v, seen, dropout, scaling, causal=causal and seen is None)
        outputs.append(found.transpose(1, 2).flatten(0, 1))
    together = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return take(together, layout.slots)[None], None


def _window(query: Tensor, key: Tensor, causal: bool, window: int | None) -> Tensor | None:
    """Which keys a window lets each query see, (1, 1, L, L); None where it is no smaller than L.

    As in transformers' ``sliding_window_overlay`` for decoders. ModernBERT's layers add one to the
    largest distance that counts (``sliding_window_bidirectional_overlay``), so it is the same.
    """
    length = query.shape[2]
    if window is None or window >= length or key.shape[2] != length:
        return None
    at = torch.arange(length, device=query.device)
    ahead = at[None, :] - at[:, None]
    seen = ahead.abs() < window
    return (seen & (ahead <= 0) if causal else seen)[None, None]


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    *,
    causal: bool,
) -> Tensor:
    if dropout == 0.0 or query.device.type != "cpu":
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scaling
        )
    if causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril()
    # On a CPU with dropout torch's kernel falls back to a slower spelling of these lines.
    weights = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(2, 3)
    if mask is not None:
        # Not -inf: padding whose window holds padding alone would become nan, in gradients too.
        weights = weights.masked_fill(~mask, torch.finfo(weights.dtype).min)
    return nn.functional.dropout(weights.softmax(-1), dropout).to(value.dtype) @ value


def enable_packing(model: Any, *, spans: bool) -> bool:
    """Let a model take packed batches beside padded ones; False if its architecture can't.

    Args:
        model: A model with a head; an encoder's output gets a hook, once.
        spans: Whether the head reads every position, or the first alone.
    """
    row = architecture(model.config)
    # A head that takes the mean would need the mask of a padded batch (ModernBERT's can).
    first = getattr(model.config, "classifier_pooling", "cls") == "cls"
    if not row.packable or not (first or spans):
        return False
    if row.kind == "decoder":
        model.set_attn_implementation(ATTENTION)
        return True
    encoder = getattr(model.base_model, row.blocks[0])
    if isinstance(encoder, nn.ModuleList):  # which is never called itself
        encoder = model.base_model
    hook = _unpack_all if spans else _unpack_first
    if hook not in encoder._forward_hooks.values():
        model.set_attn_implementation(ATTENTION)
        encoder.register_forward_hook(hook, with_kwargs=True)
    return True


def _unpack_first(module: nn.Module, inputs: Any, given: dict[str, Any], output: Any) -> Any:
    layout: Layout | None = given.get("layout")
    if layout is not None:
        starts = layout.places.new_tensor([0, *np.cumsum(layout.lengths)[:-1].tolist()])
        first = take(output.last_hidden_state[0], starts)
        output.last_hidden_state = first[:, None]
    return output


def _unpack_all(module: nn.Module, inputs: Any, given: dict[str, Any], output: Any) -> Any:
    layout: Layout | None = given.get("layout")
    if layout is not None:
        shape = (len(layout.lengths), max(layout.lengths))
        flat = place(output.last_hidden_state[0], layout.places, shape[0] * shape[1])
        output.last_hidden_state = flat.view(*shape, -1)
    return output


def first_position(model: Any) -> int:
    """Position id of a sequence's first token: RoBERTa and its kin count from padding_idx + 1."""
    return int(model.config.pad_token_id) + 1 if architecture(model.config).after_padding else 0


def _mask(
    *, q_length: int, kv_length: int, attention_mask: Tensor | None = None, **rest: Any
) -> Tensor | None:
    """None where nothing is padded, so that no mask of T x T is made for a packed batch.

    transformers sees in position ids that a row holds several sequences and would make one.
    """
    if attention_mask is None and q_length == kv_length:
        return None
    found: Tensor | None = sdpa_mask(
        q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **rest
    )
    return found


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, _mask)
