"""Features to tensors: padded to the longest of the batch, or laid end to end without padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from smc_bench.tasks.base import Feature, Head

_SEQUENCES = ("input_ids", "token_type_ids")


def collate(
    features: Sequence[Feature], *, pad_token_id: int, head: Head, pad_token_type_id: int = 0
) -> dict[str, Tensor]:
    """Pad a batch on the right.

    Returns:
        ``input_ids``, ``attention_mask`` and, where present, ``token_type_ids`` of shape (n, L), or
        (n, choices, L) for multiple choice; ``labels`` (n,), integers or for regression floats, or
        ``start_positions`` and ``end_positions`` (n,) for spans, where the features have targets.

    Raises:
        ValueError: There are no features, or unequally many choices.
    """
    flat = _sequences(features, head)
    longest = max(map(len, flat["input_ids"]))
    fill = {"input_ids": pad_token_id, "token_type_ids": pad_token_type_id}
    batch = {key: _padded(rows, longest, fill[key]) for key, rows in flat.items()}
    ones = [[1] * len(ids) for ids in flat["input_ids"]]
    batch["attention_mask"] = _padded(ones, longest, 0)
    if head == "multiple_choice":
        batch = {key: t.view(len(features), -1, longest) for key, t in batch.items()}
    return batch | _targets(features)


def lay_out(features: Sequence[Feature], *, head: Head) -> tuple[dict[str, Tensor], list[int]]:
    """Lay a batch end to end.

    Returns:
        ``input_ids`` and, where present, ``token_type_ids`` of shape (1, tokens), and the targets
        as :func:`collate` gives them; and the length of each sequence (choice by choice).

    Raises:
        ValueError: There are no features, or unequally many choices.
    """
    flat = _sequences(features, head)
    batch = {key: torch.tensor([[i for row in rows for i in row]]) for key, rows in flat.items()}
    return batch | _targets(features), [len(ids) for ids in flat["input_ids"]]


def _sequences(features: Sequence[Feature], head: Head) -> dict[str, list[list[int]]]:
    if not features:
        raise ValueError("a batch needs at least one feature")
    choices = head == "multiple_choice"
    if choices and len({len(f["input_ids"]) for f in features}) > 1:
        raise ValueError("the questions of a batch have unequally many choices")
    return {
        key: [ids for f in features for ids in (f[key] if choices else [f[key]])]
        for key in _SEQUENCES
        if key in features[0]
    }


def _targets(features: Sequence[Feature]) -> dict[str, Tensor]:
    if "start" in features[0]:
        return {
            "start_positions": torch.tensor([f["start"] for f in features]),
            "end_positions": torch.tensor([f["end"] for f in features]),
        }
    if "label" in features[0]:
        return {"labels": torch.tensor([f["label"] for f in features])}
    return {}


def _padded(rows: list[list[int]], length: int, fill: int) -> Tensor:
    return torch.tensor([row + [fill] * (length - len(row)) for row in rows])
