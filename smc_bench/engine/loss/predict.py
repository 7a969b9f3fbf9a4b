"""A model's outputs on a list of features, in eval mode, without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from smc_bench.engine.loss.batches import feature_length
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.token_scores import batch_that_fits, nats_and_peaks
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
    if feed.head == "language_modelling" and len(order):
        longest = feature_length(features[order[0]])
        batch_size = batch_that_fits(batch_size, longest, feed.vocabulary)
    for start in range(0, len(order), batch_size):
        if should_stop():
            raise Interrupted("stopped while evaluating")
        chosen = order[start : start + batch_size]
        for index, found in zip(chosen, _outputs(feed, [features[i] for i in chosen]), strict=True):
            results[index] = found
        if progress is not None:
            progress(start + len(chosen))
    feed.model.train(was_training)
    return results


def _outputs(feed: Feed, features: Sequence[Feature]) -> list[HeadArrays]:
    """Outputs of one batch."""
    batch = feed.batch(features)
    heads = feed.heads(batch, autocast=False)
    if feed.head == "language_modelling":
        tokens = nats_and_peaks(heads[0].logits, batch.targets[0])
        parts = [torch.split(values.cpu(), list(batch.counts)) for values in tokens]
        return [tuple(part.numpy() for part in row) for row in zip(*parts, strict=True)]
    spans = feed.head == "question_answering"
    arrays = [head.logits.cpu().numpy() for head in heads]
    return [
        tuple(logits[row, : feature_length(feature) if spans else None].copy() for logits in arrays)
        for row, feature in enumerate(features)
    ]
