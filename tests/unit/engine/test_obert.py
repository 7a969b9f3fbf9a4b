from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from smc_bench.engine.pruning.masks import Masks, update_masks
from smc_bench.engine.pruning.obert.fisher import Estimate, InverseFisher, state_bytes
from smc_bench.engine.pruning.obert.options import FLOAT32_EPS, ObertOptions
from smc_bench.engine.pruning.obert.scorer import obert, plan_passes
from smc_bench.engine.pruning.scorers.simple import Scored, Statistics
from smc_bench.errors import SuiteError

COUNT, BATCH = 24, 4
OPTIONS = {"block": 12, "gradients": COUNT, "gradient_batch": BATCH, "dampening": 1e-4}


class Tiny(nn.Module):
    """Two layers whose rows are multiples of four; 40 + 24 weights: the last blocks are short."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(8, 5), nn.Linear(5, 4)
        self.third = nn.Linear(4, 6)
        self.inputs, self.labels = torch.randn(COUNT * BATCH, 8), torch.randint(6, (COUNT * BATCH,))

    def loss(self, index: int) -> torch.Tensor:
        rows = slice(index * BATCH, (index + 1) * BATCH)
        hidden = torch.tanh(self.second(torch.tanh(self.first(self.inputs[rows]))))
        return nn.functional.cross_entropy(self.third(hidden), self.labels[rows])

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        return {"first.weight": self.first.weight, "third.weight": self.third.weight}


class Evidence:
    """Stands in for the engine's statistics; counts passes."""

    def __init__(
        self,
        model: Tiny,
        structure: str = "unstructured",
        masks: Masks | None = None,
        **options: Any,
    ) -> None:
        self.model, self.structure, self.masks = model, structure, masks or {}
        self.options = ObertOptions(**(OPTIONS | options)).model_dump(mode="json")
        self.seed, self.step, self.passes, self.watched = 0, 0, 0, False

    def gradients(
        self, names: Sequence[str], count: int, batch: int, *, train: bool
    ) -> Iterator[dict[str, torch.Tensor]]:
        assert (count, batch, train) == (COUNT, BATCH, False)
        self.passes += 1
        if self.watched:  # one estimate at a time: this pass's is made with its first gradient
            assert not any(type(thing) in (Estimate, InverseFisher) for thing in gc.get_objects())
        for index in range(count):
            wanted = [self.model.weights[name] for name in names]
            with torch.enable_grad():
                found = torch.autograd.grad(self.model.loss(index), wanted)
            yield dict(zip(names, found, strict=True))


def score(evidence: Evidence) -> Scored:
    with torch.no_grad():
        return obert(evidence.model.weights, cast(Statistics, evidence))


def prune(evidence: Evidence, sparsity: float) -> tuple[Masks, dict[str, np.ndarray]]:
    """New masks and the weights after compensation and masking, as the pruner does it."""
    scored, weights = score(evidence), evidence.model.weights
    old = {
        n: evidence.masks.get(n, torch.ones_like(w, dtype=torch.bool)) for n, w in weights.items()
    }
    new = update_masks(scored.saliency, old, sparsity, structure=evidence.structure)
    with torch.no_grad():
        if scored.compensate is not None:
            scored.compensate(new)
        for name, weight in weights.items():
            weight.masked_fill_(~new[name], 0.0)
    return new, {n: w.detach().double().numpy().ravel().copy() for n, w in weights.items()}


def fishers(evidence: Evidence) -> dict[str, list[np.ndarray]]:
    """Blocks of F by hand, in float64, from each batch's own backward pass."""
    model, rows = evidence.model, {name: [] for name in evidence.model.weights}
    for index in range(COUNT):
        model.zero_grad()
        model.loss(index).backward()
        for name, weight in model.weights.items():
            mask = evidence.masks.get(name, torch.ones_like(weight))
            rows[name].append((weight.grad * mask).double().numpy().ravel())
    size, found = evidence.options["block"], {}
    for name, gradients in rows.items():
        g = np.stack(gradients)
        parts = [g[:, i : i + size] for i in range(0, g.shape[1], size)]
        damp = evidence.options["dampening"]
        found[name] = [p.T @ p / COUNT + damp * np.eye(p.shape[1]) for p in parts]
    return found


def blocks_of(flat: np.ndarray, size: int) -> list[np.ndarray]:
    return [flat[i : i + size] for i in range(0, len(flat), size)]


def flat_weights(model: Tiny) -> dict[str, np.ndarray]:
    return {n: w.detach().double().numpy().ravel().copy() for n, w in model.weights.items()}


def half_mask(model: Tiny, share: float = 0.3) -> Masks:
    """Prune some weights by magnitude first, so that masks are in force."""
    dense = {n: torch.ones_like(w, dtype=torch.bool) for n, w in model.weights.items()}
    masks = update_masks({n: w.detach().abs() for n, w in model.weights.items()}, dense, share)
    with torch.no_grad():
        for name, weight in model.weights.items():
            weight.masked_fill_(~masks[name], 0.0)
    return masks


@pytest.mark.parametrize("eps", [True, False, 1e-3])
@pytest.mark.parametrize("block", [1, 12, 40])
def test_saliency_is_the_formula(eps: bool | float, block: int) -> None:
    evidence = Evidence(Tiny(), block=block, eps=eps)
    found, weights = score(evidence).saliency, flat_weights(evidence.model)
    value = FLOAT32_EPS if eps is True else float(eps)
    for name, blocks in fishers(evidence).items():
        diagonal = np.concatenate([np.diag(np.linalg.inv(f)) for f in blocks])
        expected = weights[name] ** 2 / (2 * diagonal + value)
        assert np.allclose(found[name].double().numpy().ravel(), expected, rtol=1e-4)


def cost(fisher: np.ndarray, weight: np.ndarray, chosen: Sequence[int]) -> float:
    """Least 1/2 d^T F d with d = -w at ``chosen``: by the KKT system of the constrained problem."""
    k, n = len(chosen), len(weight)
    fixed = np.zeros((k, n))
    fixed[range(k), list(chosen)] = 1.0
    system = np.block([[fisher, fixed.T], [fixed, np.zeros((k, k))]])
    change = np.linalg.solve(system, np.concatenate([np.zeros(n), -weight[list(chosen)]]))[:n]
    return float(change @ fisher @ change / 2)


def test_four_share_the_cost_of_going_together() -> None:
    evidence = Evidence(Tiny(), "block4")
    found, weights = score(evidence).saliency, flat_weights(evidence.model)
    for name, blocks in fishers(evidence).items():
        values = blocks_of(found[name].double().numpy().ravel(), 12)
        for fisher, w, s in zip(blocks, blocks_of(weights[name], 12), values, strict=True):
            for at in range(0, len(w), 4):
                expected = cost(fisher, w, range(at, at + 4))
                assert np.allclose(s[at : at + 4], expected, rtol=1e-3)


@pytest.mark.parametrize("structure", ["2:4", "1:4", "1:2"])
def test_patterns_take_the_cheapest_set(structure: str) -> None:
    evidence = Evidence(Tiny(), structure)
    kept, size = map(int, structure.split(":"))
    blocks, weights = fishers(evidence), flat_weights(evidence.model)
    new, _ = prune(evidence, 1 - kept / size)
    for name in weights:
        gone = blocks_of(~new[name].numpy().ravel(), 12)
        for fisher, w, out in zip(blocks[name], blocks_of(weights[name], 12), gone, strict=True):
            for at in range(0, len(w), size):
                sets = list(combinations(range(at, at + size), size - kept))
                costs = [cost(fisher, w, s) for s in sets]
                chosen = tuple(np.flatnonzero(out[at : at + size]) + at)
                assert costs[sets.index(chosen)] <= min(costs) * (1 + 1e-3)


@given(
    seed=st.integers(0, 200),
    sparsity=st.floats(0.35, 0.95),
    masked=st.booleans(),
    dampening=st.sampled_from([1e-6, 1e-4, 1.0]),
)
@settings(deadline=None, max_examples=25)
def test_joint_is_the_constrained_minimum(
    seed: int, sparsity: float, masked: bool, dampening: float
) -> None:
    """1/2 d^T F d over a block: joint <= independent, mask alone; equal to the KKT solution."""
    losses: dict[str, list[float]] = {}
    least: list[float] = []
    for update in ("joint", "independent", "none"):
        model = Tiny(seed)
        masks = half_mask(model) if masked else {}
        evidence = Evidence(model, masks=masks, update=update, dampening=dampening)
        blocks, before = fishers(evidence), flat_weights(model)
        new, after = prune(evidence, sparsity)
        losses[update] = []
        for name, parts in blocks.items():
            old = masks.get(name, torch.ones_like(new[name])).numpy().ravel()
            gone = old & ~new[name].numpy().ravel()
            assert not after[name][~new[name].numpy().ravel()].any()
            assert not (new[name].numpy().ravel() & ~old).any()
            pieces = [blocks_of(x, 12) for x in (before[name], after[name], gone)]
            for fisher, w, v, out in zip(parts, *pieces, strict=True):
                losses[update].append(float((v - w) @ fisher @ (v - w) / 2))
                if update == "joint":
                    least.append(cost(fisher, w, np.flatnonzero(out)))
    joint = np.array(losses["joint"])
    slack = 1e-9 + 1e-3 * joint
    assert np.all(np.abs(joint - np.array(least)) <= slack)
    for other in ("independent", "none"):
        assert np.all(joint <= np.array(losses[other]) + slack)


@pytest.mark.parametrize("structure", ["unstructured", "block4"])
def test_independent_is_the_published_update(structure: str) -> None:
    evidence = Evidence(Tiny(), structure)
    blocks, before = fishers(evidence), flat_weights(evidence.model)
    new, after = prune(evidence, 0.5)
    size = 4 if structure == "block4" else 1
    for name, parts in blocks.items():
        kept = blocks_of(new[name].numpy().ravel(), 12)
        weights = (blocks_of(before[name], 12), blocks_of(after[name], 12))
        for fisher, w, v, stays in zip(parts, *weights, kept, strict=True):
            inverse, solved = np.linalg.inv(fisher), np.zeros_like(w)
            for at in range(0, len(w), size):
                some = slice(at, at + size)
                if not stays[at]:
                    solved[some] = np.linalg.solve(inverse[some, some], w[some])
            assert np.allclose(v, (w - inverse @ solved) * stays, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("update", ["joint", "independent", "none"])
@pytest.mark.parametrize("structure", ["unstructured", "block4", "2:4"])
@pytest.mark.parametrize("masked", [False, True])
def test_several_passes_give_what_one_gives(update: str, structure: str, masked: bool) -> None:
    if masked and structure == "block4":
        pytest.skip("magnitude masks of single weights are no masks of groups")
    results = []
    # Two of six blocks at a time: a group ends within a tensor.
    for memory in ("4GB", f"{state_bytes(2, 12, 8)}B"):
        model = Tiny(5)
        masks = half_mask(model) if masked else {}
        evidence = Evidence(model, structure, masks, update=update, fisher_memory=memory)
        evidence.watched = structure == "unstructured"
        results.append((*prune(evidence, 0.5), evidence.passes))
    (one_masks, one_weights, once), (masks, weights, often) = results
    assert once == 1
    assert often == (3 if update == "none" else 5)  # the last group's estimate is kept
    for name in weights:
        assert torch.equal(one_masks[name], masks[name])
        assert np.allclose(one_weights[name], weights[name], rtol=1e-4, atol=1e-6)


def test_float64_takes_neither_more_memory_nor_another_pass() -> None:
    memory = f"{state_bytes(6, 12, 24)}B"  # all of it at once
    evidence = Evidence(Tiny(), dampening=1e-9, fisher_memory=memory)
    evidence.watched = True
    found, weights = score(evidence).saliency, flat_weights(evidence.model)
    assert evidence.passes == 1
    for name, blocks in fishers(evidence).items():
        diagonal = np.concatenate([np.diag(np.linalg.inv(f)) for f in blocks])
        expected = weights[name] ** 2 / (2 * diagonal + FLOAT32_EPS)
        assert np.allclose(found[name].double().numpy().ravel(), expected, rtol=1e-4)


def test_single_weights_have_no_others_to_update() -> None:
    assert score(Evidence(Tiny(), block=1, update="independent")).compensate is None


def test_plan_takes_all_weights_once_and_the_fewest_passes() -> None:
    weights = {"a": torch.empty(13, 7), "b": torch.empty(50), "c": torch.empty(3)}
    options = ObertOptions(block=12, fisher_memory=f"{state_bytes(5, 12, 8)}B")
    chunk, groups = plan_passes(weights, options, options.gradients)
    covered = {name: 0 for name in weights}
    for piece in (piece for group in groups for piece in group):
        assert piece.start == covered[piece.name]
        assert piece.start % 12 == 0
        covered[piece.name] = piece.stop
    assert covered == {name: w.numel() for name, w in weights.items()}
    assert (chunk, len(groups)) == (8, 3)  # 8 + 5 + 1 blocks


def test_too_little_memory_says_what_is_needed() -> None:
    weights = {"a": torch.empty(10_000)}
    with pytest.raises(SuiteError, match=r"at least 0\.\d+MB for 100 passes") as caught:
        plan_passes(weights, ObertOptions(block=12, fisher_memory="10kB"), 1024)
    needed = str(caught.value).split("at least ")[1].split(" for")[0]
    rounded_up = f"{float(needed.removesuffix('MB')) * 1.01}MB"
    assert (
        len(plan_passes(weights, ObertOptions(block=12, fisher_memory=rounded_up), 1024)[1]) <= 100
    )


def test_block_must_hold_whole_groups() -> None:
    with pytest.raises(SuiteError, match="multiple of 4, not 50"):
        score(Evidence(Tiny(), "block4", block=50))
