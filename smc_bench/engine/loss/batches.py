"""Which sequences make up each optimizer step, as a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smc_bench.engine.seeding import generator
from smc_bench.tasks.base import Feature

# Batches sorted together by length; transformers' LengthGroupedSampler takes 50 as well.
_MEGABATCH = 50


def feature_length(feature: Feature) -> int:
    """Tokens of a feature (of its longest choice)."""
    ids = feature["input_ids"]
    return max(map(len, ids)) if ids and isinstance(ids[0], list) else len(ids)


class Batches:
    """Batches of an epoch-wise shuffled training set; the last batch of an epoch may be short."""

    def __init__(
        self, lengths: Sequence[int], batch: int, seed: int, *, grouped: bool = False
    ) -> None:
        """Remember lengths; nothing is drawn yet."""
        self.lengths = np.asarray(lengths)
        self.batch, self.seed, self.grouped = batch, seed, grouped
        self.steps_per_epoch = max(1, -(-len(lengths) // batch))
        self._epoch = lru_cache(maxsize=2)(self._order)

    def __getitem__(self, step: int) -> NDArray[np.int64]:
        """Indices of the sequences of optimizer step ``step`` (from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[position]

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = generator(self.seed, "order", epoch)
        order = rng.permutation(len(self.lengths))
        if not self.grouped:
            return self._cut(order)
        size = self.batch * _MEGABATCH
        parts = [order[at : at + size] for at in range(0, len(order), size)]
        batches: list[NDArray[np.int64]] = []
        for part in parts:
            batches += self._cut(part[np.argsort(-self.lengths[part], kind="stable")])
        return [batches[index] for index in rng.permutation(len(batches))]

    def _cut(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [order[at : at + self.batch] for at in range(0, len(order), self.batch)]
