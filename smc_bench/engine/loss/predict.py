"""A model's outputs on a list of features, in eval mode, without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from smc_bench.engine.loss.batches import feature_length
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.errors import Interrupted
from smc_bench.tasks.base import Feature

HeadArrays = tuple[NDArray[np.float32], ...]


@torch.inference_mode()
def predict(
    feed: Feed,
    features: Sequence[Feature],
    batch_size: int,
    *,
    progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[HeadArrays]:
    """Outputs of each feature, one 1-D float32 array a head, in feature order.

    Computed in float32, whatever precision the model was trained in: bf16 has 8 bits of mantissa,
    so that near ties would be decided by rounding.
    Sequences of like length share a batch, so little is spent on padding.

    Raises:
        Interrupted: If ``should_stop`` says so between two batches.
    """
    was_training = feed.model.training
    feed.model.eval()
    order = np.argsort([-feature_length(feature) for feature in features], kind="stable")
    results: list[HeadArrays] = [()] * len(features)
    spans = feed.head == "question_answering"
    for start in range(0, len(order), batch_size):
        if should_stop():
            raise Interrupted("stopped while evaluating")
        chosen = order[start : start + batch_size]
        heads = feed.heads(feed.batch([features[i] for i in chosen]), autocast=False)
        arrays = [head.logits.cpu().numpy() for head in heads]
        for row, index in enumerate(chosen):
            length = feature_length(features[index]) if spans else None
            results[index] = tuple(logits[row, :length].copy() for logits in arrays)
        if progress is not None:
            progress(start + len(chosen))
    feed.model.train(was_training)
    return results
