"""How the cost of the Fisher inverse grows with B, and what few gradients cost. CPU seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from fisher_support import Gradient, timed
from torch import Tensor

from smc_bench.engine.pruning.obert.fisher import (
    Algebra,
    Estimate,
    FisherSettings,
    Piece,
    inverse_fisher,
    state_bytes,
)
from smc_bench.engine.pruning.obert.fisher_algebra import (
    invert_sum,
    rank_one_update,
    woodbury_update,
)
from smc_bench.engine.pruning.obert.symmetric import Symmetric

BLOCK, RECIPE_COUNT, DAMPENING = 50, 1024, 1e-7


def growth(gradients: list[Gradient]) -> Iterator[dict[str, float]]:
    """Cost over B, of one tensor's gradients (the largest): ms a gradient, s at the end."""
    name = max(gradients[0], key=lambda n: gradients[0][n].numel())
    chunk = gradients[:32]
    for block in (1, 10, 25, 50, 100):
        size = gradients[0][name].numel()
        row: dict[str, float] = {"B": block, "weights": size, "chunk": len(chunk)}
        ways: tuple[Algebra, ...] = ("recursion", "woodbury", "accumulate", "diagonal")
        for algebra in ways[3:] if block == 1 else ways[:3]:
            settings = FisherSettings(block, RECIPE_COUNT, DAMPENING, len(chunk), algebra)
            estimate = Estimate(Piece(name, 0, size), settings, torch.device("cpu"))

            def feed(to: Estimate = estimate) -> None:
                for gradient in chunk:
                    to.add(gradient[name].reshape(-1))

            seconds = timed(feed, 2 if algebra == "recursion" else 3)
            row[f"{algebra}: ms per gradient"] = seconds / len(chunk) * 1e3
            if algebra == "accumulate":
                row["accumulate: GFLOP/s"] = 2 * size * block * len(chunk) / seconds / 1e9
                wide = Estimate(Piece(name, 0, size), settings, torch.device("cpu"))
                wide.state.widen()
                row["float64: ms per gradient"] = timed(partial(feed, wide), 2) / len(chunk) * 1e3
            start = time.process_time()
            estimate.finish()
            row[f"{algebra}: s at the end"] = time.process_time() - start
        yield row


def few_gradients(gradients: list[Gradient]) -> Iterator[dict[str, float]]:
    """Whole cost of m gradients in one chunk, B = 50: where Woodbury beats a factorisation."""
    name = max(gradients[0], key=lambda n: gradients[0][n].numel())
    rows = gradients[0][name].numel() // BLOCK
    for count in (4, 8, 12, 16, 24, 32):
        some = torch.stack([g[name].reshape(-1)[: rows * BLOCK] for g in gradients[:count]])
        chunk = some.view(count, rows, BLOCK).transpose(0, 1)

        def by_sum(chunk: Tensor = chunk, count: int = count) -> None:
            outer = Symmetric(rows, BLOCK, chunk.device)
            outer.add_outer(chunk)
            invert_sum(outer, count, DAMPENING)

        def by_update(
            update: Callable[[Tensor, Tensor, int], None],
            chunk: Tensor = chunk,
            count: int = count,
        ) -> None:
            inverse = torch.zeros(rows, BLOCK, BLOCK)
            inverse.diagonal(dim1=1, dim2=2).fill_(1 / DAMPENING)
            update(inverse, chunk, count)

        yield {
            "m": count,
            "woodbury: s": timed(lambda: by_update(woodbury_update), 2),
            "accumulate: s": timed(by_sum, 2),
            "recursion: s": timed(lambda: by_update(rank_one_update), 2),
        }


def memory(weights: dict[str, Tensor], gradients: list[Gradient]) -> dict[str, float] | None:
    """Peak of our path beyond what is there before (Linux), and what state_bytes says."""
    sizes = {name: w.numel() for name, w in weights.items()}
    for gradient in gradients[:32]:  # in memory before the count starts, also if mapped from a file
        sum(float(tensor.sum()) for tensor in gradient.values())
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        reset.write_text("5")
        before = int(status.read_text().split("VmRSS:")[1].split()[0])
    except OSError:
        return None
    settings = FisherSettings(BLOCK, 32, DAMPENING)
    pieces = [Piece(name, 0, size) for name, size in sizes.items()]
    inverse_fisher(pieces, (gradients[i % len(gradients)] for i in range(32)), settings)
    peak = int(status.read_text().split("VmHWM:")[1].split()[0])
    blocks = sum(-(-size // BLOCK) for size in sizes.values())
    said = state_bytes(blocks, BLOCK, 32) - 4 * sum(sizes.values())
    return {
        "peak GB": (peak - before) * 1024 / 1e9,
        "state_bytes without a gradient GB": said / 1e9,
    }
