"""What a finished model says of some rows, outside of any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from smc_bench.engine.inputs import chosen_rows
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.predict import HeadArrays, predict
from smc_bench.models.load import load_model, load_tokenizer, quiet_tokenizers
from smc_bench.tasks.base import Encoding, Row
from smc_bench.tasks.registry import get_task

_BATCH = 32


def trained_rows(rows: Sequence[Row], limit: int | None, count: int) -> list[Row]:
    """Up to ``count`` rows, evenly spaced over those that a cell with this limit trains on."""
    rows = chosen_rows(rows, limit)
    count = min(count, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def outputs_of(
    weights: Path, name: str, encoding: Encoding, rows: Sequence[Row]
) -> list[HeadArrays]:
    """Logits of each sequence (or window) of these rows, in eval mode and float32.

    Args:
        weights: A finished cell's folder of weights and tokenizer.
        name: Its task.
        encoding: How long sequences are cut.
        rows: Rows with the task's columns.

    Returns:
        One 1-D array a head, for each sequence: (labels,), or (tokens,) for start and end.

    Raises:
        ModelError: If the folder does not hold such a model.
        CorruptDataError: If a row is not one of the task's.
    """
    quiet_tokenizers()
    task = get_task(name)
    tokenizer = load_tokenizer(weights)
    features = task.features(rows, tokenizer, encoding, train=False)
    model = load_model(weights, task.head, task.spec.labels, seed=0, finished=True)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    feed = Feed(model, task.head, int(tokenizer.pad_token_id or 0), padding="none")
    return predict(feed, features, _BATCH)
