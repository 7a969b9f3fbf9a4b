"""Optimal BERT Surgeon (arXiv 2203.07259): second-order saliencies and weight updates.

Formulas are in :mod:`.obs`, F^-1 is from :mod:`.fisher`; here is
what makes a scorer of them: groups of weights that fit in memory, each from gradients of its own.

Weights that are pruned already have no part in any of it: their gradients are masked, so that
[F^-1] does not couple them to others, and they are zero and stay so.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

import torch
from torch import Tensor

from smc_bench.engine.pruning.masks import Masks
from smc_bench.engine.pruning.obert.fisher import (
    CHUNKS,
    FisherSettings,
    InverseFisher,
    Piece,
    blocks_within,
    inverse_fisher,
    state_bytes,
)
from smc_bench.engine.pruning.obert.obs import multipliers, saliency_of
from smc_bench.engine.pruning.obert.options import ObertOptions
from smc_bench.engine.pruning.scorers.simple import Saliency, Scored, Statistics, Weights
from smc_bench.engine.pruning.structures import row_multiple
from smc_bench.errors import SuiteError

MAX_PASSES = 100
"""More passes over the gradients than this are a mistake in ``fisher_memory``."""


def obert(weights: Weights, statistics: Statistics) -> Scored:
    """Saliencies of all weights, and the update that makes up for those that go.

    Raises:
        DivergedError: If gradients are not finite.
        SuiteError: If the block does not fit the structure, or ``fisher_memory`` is too small.
    """
    options = ObertOptions.model_validate(dict(statistics.options))
    size = row_multiple(statistics.structure)
    if options.block % size:
        raise SuiteError(
            f"oBERT with structure {statistics.structure} needs scorer_options.block to be a "
            f"multiple of {size}, not {options.block} (the 4-block recipes of the paper set 32)"
        )
    epoch = options.gradients == "epoch"
    count = int(statistics.epoch_batches(options.gradient_batch) if epoch else options.gradients)
    surgeon = _Surgeon(weights, statistics, options, count)
    saliency = surgeon.saliency()
    # With blocks of one weight there are no others to update.
    idle = options.update == "none" or options.block == 1
    return Scored(saliency, None if idle else surgeon.compensate)


def plan_passes(
    weights: Mapping[str, Tensor], options: ObertOptions, count: int
) -> tuple[int, list[list[Piece]]]:
    """Split weights into groups whose estimate fits ``fisher_memory``, in as few as can be.

    Args:
        weights: What is to be estimated.
        options: The scorer's options.
        count: Gradients, m.

    Returns:
        Gradients to buffer at a time, and the pieces of each group.

    Raises:
        SuiteError: If that takes more than :data:`MAX_PASSES` passes.
    """
    block = options.block
    total = sum(-(-w.numel() // block) for w in weights.values())
    chunks = [min(chunk, count) for chunk in CHUNKS]
    rooms = {chunk: blocks_within(options.fisher_bytes, block, chunk) for chunk in chunks}
    passes = {chunk: -(-total // room) for chunk, room in rooms.items() if room > 0}
    if not passes or min(passes.values()) > MAX_PASSES:
        needed = state_bytes(-(-total // MAX_PASSES), block, chunks[-1])
        whole = state_bytes(total, block, chunks[0])
        raise SuiteError(
            f"fisher_memory: {options.fisher_memory} is too small for the Fisher blocks of "
            f"{total * block} weights: give at least {needed / 1e6:.3g}MB for {MAX_PASSES} passes "
            f"over the gradients, or {whole / 1e9:.3g}GB for one"
        )
    chunk = min(passes, key=lambda c: (passes[c], -c))
    return chunk, list(_groups(weights, block, rooms[chunk]))


def _groups(weights: Mapping[str, Tensor], block: int, room: int) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    left = room
    for name, weight in weights.items():
        start = 0
        while start < weight.numel():
            stop = min(weight.numel(), start + left * block)
            group.append(Piece(name, start, stop))
            left -= group[-1].blocks(block)
            start = stop
            if not left:
                yield group
                group, left = [], room
    if group:
        yield group


class _Surgeon:
    """One pruning event: scores, then updates from the same estimates.

    The last group's is kept in between; the others, if any, are made again.
    """

    def __init__(
        self,
        weights: Weights,
        statistics: Statistics,
        options: ObertOptions,
        count: int,
    ) -> None:
        self.weights, self.statistics, self.options = weights, statistics, options
        self.count = count
        self.chunk, self.groups = plan_passes(weights, options, count)
        self.kept: tuple[list[Piece], InverseFisher] | None = None

    def saliency(self) -> Saliency:
        found = {name: torch.empty_like(w, requires_grad=False) for name, w in self.weights.items()}
        for group in self.groups:
            self._score(group, found)
        return found

    def compensate(self, masks: Masks) -> None:
        # Applied at the end: gradients of later groups are to be those of the same weights.
        changes: list[tuple[Piece, Tensor]] = []
        for group in reversed(self.groups):
            changes.extend(self._changes(group, masks))
        for piece, change in changes:
            flat = self.weights[piece.name].detach().view(-1)
            flat[piece.start : piece.stop] += change

    def _fisher(self, group: list[Piece]) -> InverseFisher:
        kept, self.kept = self.kept, None
        if kept is not None and kept[0] is group:
            return kept[1]
        del kept  # there is room for one only
        options, names = self.options, list(dict.fromkeys(piece.name for piece in group))
        settings = FisherSettings(options.block, self.count, options.dampening, self.chunk)
        train = options.gradient_mode == "train"
        gradients = self.statistics.gradients(
            names, self.count, options.gradient_batch, train=train
        )
        try:
            return inverse_fisher(group, gradients, settings, self.statistics.masks)
        finally:
            if isinstance(gradients, Generator):  # puts the model back where it stopped early
                gradients.close()

    def _score(self, group: list[Piece], found: Saliency) -> None:
        fisher = self._fisher(group)
        for piece in group:
            weight, blocks = piece.of(self.weights[piece.name]), fisher.blocks[piece]
            values = saliency_of(weight, blocks, self.statistics.structure, self.options.eps)
            piece.of(found[piece.name]).copy_(values)
        if self.options.update != "none":
            self.kept = (group, fisher)

    def _changes(self, group: list[Piece], masks: Masks) -> Iterator[tuple[Piece, Tensor]]:
        fisher = self._fisher(group)
        old, options = self.statistics.masks, self.options
        size = options.block
        if options.update == "independent":
            size = row_multiple(self.statistics.structure)
        for piece in group:
            weight, pruned = piece.of(self.weights[piece.name]), ~piece.of(masks[piece.name])
            if piece.name in old:
                pruned &= piece.of(old[piece.name])
            going = multipliers(weight * pruned, pruned, fisher.blocks[piece], size, options.eps)
            yield piece, -fisher.product(piece, going)
