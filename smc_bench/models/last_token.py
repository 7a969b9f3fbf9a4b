"""What heads of decoders say of sequences: they read each sequence's last token.

transformers' own heads look for the last token that is not ``pad_token_id``, in one row after the
other. Where padding and the end of a text are one token, as in GPT-2, that is the token before the
end; and a packed batch has no rows. The lengths say where sequences end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from smc_bench.models.layout import Layout, take


def score_last(model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """The head's scores of each sequence, (sequences, outputs).

    Args:
        model: A decoder with the head ``score``.
        inputs: A padded batch, with ``attention_mask`` (sequences, longest) and padding behind
            the texts; or a packed one, with ``layout``.
    """
    hidden: Tensor = model.base_model(**inputs, use_cache=False).last_hidden_state
    layout: Layout | None = inputs.get("layout")
    if layout is not None:
        lengths = torch.tensor(layout.lengths, device=hidden.device)
        last = take(hidden[0], lengths.cumsum(0) - 1)
    else:
        ends = inputs["attention_mask"].sum(-1) - 1
        rows = torch.arange(hidden.shape[0], device=hidden.device)  # not len: traced graphs
        last = hidden[rows, ends]
    scores: Tensor = model.score(last)
    return scores
