"""Encoders on real tokens only: a batch as one row of tokens, attention sequence by sequence.

Through transformers' own extension points: an attention function of our own registered with
``AttentionInterface`` and ``AttentionMaskInterface``, position ids, and keyword arguments that
models hand on to their layers. No model is rewritten. Linear layers, LayerNorm, GELU and embeddings
see a batch as (1, tokens); attention puts its queries, keys and values into padded groups of like
length and takes the results out again; behind the encoder a hook lays sequences side by side, so
that stock heads find position 0 and spans where they look for them.

What this saves is the arithmetic on padding: batches of 32 short sentences padded to the longest
are more than half padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from smc_bench.models.architecture import architecture

ATTENTION = "smc_bench_packed"
"""Name of the attention function; on padded batches it is transformers' ``sdpa``."""

# What one more group costs, in padded query-key pairs (a few small kernels a layer, measured on a
# CPU: a batch of 32 short sentences is one or two groups, 16 long windows are nearly 16).
_GROUP = 2048


@dataclass(frozen=True)
class Group:
    """Sequences of a batch that share one padded attention call.

    Attributes:
        count: Sequences, n.
        length: Slots of each, L.
        mask: True where a key is real, (n, 1, 1, L); None where all are.
    """

    count: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True)
class Layout:
    """How T tokens of n sequences, laid end to end, sit in padded slots.

    Attributes:
        lengths: Tokens of each sequence.
        slots: Slot of each token among those of all groups, (T,).
        total: Number of slots.
        groups: Groups of sequences, by falling length.
        places: Row-major position of each token in (n, longest), (T,).
    """

    lengths: tuple[int, ...]
    slots: Tensor
    total: int
    groups: tuple[Group, ...]
    places: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Layout:
        """The cheapest layout of sequences of these lengths."""
        sizes = np.asarray(lengths, dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        order = np.argsort(-sizes, kind="stable")
        slots = np.empty(int(sizes.sum()), dtype=np.int64)
        groups, at, used = [], 0, 0
        for count in split(sizes[order]):
            members = order[at : at + count]
            longest = int(sizes[members[0]])
            for row, member in enumerate(members):
                begin, size = starts[member], sizes[member]
                slots[begin : begin + size] = used + row * longest + np.arange(size)
            real = np.arange(longest)[None, :] < sizes[members][:, None]
            mask = None if real.all() else torch.from_numpy(real[:, None, None, :]).to(device)
            groups.append(Group(count, longest, mask))
            at, used = at + count, used + count * longest
        rows = np.repeat(np.arange(len(sizes)), sizes)
        places = np.arange(len(slots)) - starts[rows] + rows * int(sizes.max())
        return cls(
            tuple(int(size) for size in sizes),
            torch.from_numpy(slots).to(device),
            used,
            tuple(groups),
            torch.from_numpy(places).to(device),
        )

    @property
    def real(self) -> Tensor:
        """True at real positions of (n, longest)."""
        longest = max(self.lengths)
        flat = torch.zeros(len(self.lengths) * longest, dtype=torch.bool, device=self.places.device)
        flat[self.places] = True
        return flat.view(len(self.lengths), longest)


def split(sizes: NDArray[np.int64]) -> list[int]:
    """Cut sequences, longest first, into groups of least padded attention.

    Args:
        sizes: Lengths in falling order, (n,).

    Returns:
        Sequences of each group; sum of n_g L_g^2 + a constant for each group is least, by dynamic
        programming over the ends of groups.
    """
    count = len(sizes)
    squares = sizes.astype(np.float64) ** 2
    best = np.zeros(count + 1)
    cut = np.zeros(count + 1, dtype=np.int64)
    for stop in range(1, count + 1):
        begin = np.arange(stop)
        costs = best[:stop] + (stop - begin) * squares[:stop] + _GROUP
        cut[stop] = int(np.argmin(costs))
        best[stop] = costs[cut[stop]]
    groups, stop = [], count
    while stop:
        groups.append(int(stop - cut[stop]))
        stop = int(cut[stop])
    return groups[::-1]


class _Place(torch.autograd.Function):
    """Rows to given places among zeros; places are unique, so the way back is a plain lookup."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, total: int) -> Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(total, *rows.shape[1:]).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grads[0].index_select(0, places), None, None


class _Take(torch.autograd.Function):
    """The other way: rows from unique places."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.total = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        grad = grads[0]
        return grad.new_zeros(ctx.total, *grad.shape[1:]).index_copy_(0, places, grad), None


def place(rows: Tensor, places: Tensor, total: int) -> Tensor:
    """``rows`` (n, ...) at unique ``places`` (n,) of ``total`` rows, zeros elsewhere."""
    placed: Tensor = _Place.apply(rows, places, total)  # type: ignore[no-untyped-call]
    return placed


def take(rows: Tensor, places: Tensor) -> Tensor:
    """Rows at unique ``places``, (n, ...): the other way round."""
    taken: Tensor = _Take.apply(rows, places)  # type: ignore[no-untyped-call]
    return taken


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention of each sequence with itself; (1, heads, T, d) each in, (1, T, heads, d) out.

    Without a layout it is transformers' ``sdpa`` on a padded batch.
    """
    if layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
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
        outputs.append(_attend(q, k, v, group.mask, dropout, scaling).transpose(1, 2).flatten(0, 1))
    together = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return take(together, layout.slots)[None], None


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
) -> Tensor:
    if dropout == 0.0 or query.device.type != "cpu":
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling
        )
    # On a CPU with dropout torch's kernel falls back to a slower spelling of these lines.
    weights = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(2, 3)
    if mask is not None:
        weights = weights.masked_fill(~mask, float("-inf"))
    return nn.functional.dropout(weights.softmax(-1), dropout).to(value.dtype) @ value


def enable_packing(model: Any, *, spans: bool) -> bool:
    """Let a model take packed batches beside padded ones; False if its architecture can't.

    Args:
        model: A model with a head; its encoder's output gets a hook, once.
        spans: Whether the head reads every position, or the first alone.
    """
    row = architecture(model.config)
    if not row.packable:
        return False
    encoder = getattr(model.base_model, row.blocks[0])
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


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
