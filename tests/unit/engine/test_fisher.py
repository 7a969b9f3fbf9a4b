from __future__ import annotations

from typing import cast, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.engine.pruning.obert import slices as parts
from smc_bench.engine.pruning.obert.fisher import (
    CHUNKS,
    TOLERANCE,
    Algebra,
    Estimate,
    FisherSettings,
    InverseFisher,
    Piece,
    blocks_within,
    inverse_fisher,
    state_bytes,
)
from smc_bench.errors import DivergedError

BLOCK, COUNT, DAMPENING = 10, 64, 1e-7
ALGEBRAS = [name for name in get_args(Algebra) if name != "diagonal"]
SHAPE = (7, 6)  # 42 weights: four blocks of 10 and one of 2


def gradients(kind: str, scale: float, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Independent weights, or four directions in each block on a floor: rank-deficient."""
    noise = torch.Generator().manual_seed(seed)
    size = SHAPE[0] * SHAPE[1]
    free = torch.randn(COUNT, size, generator=noise)
    if kind == "flat":
        blocks = torch.nn.functional.pad(free, (0, -size % BLOCK)).view(COUNT, -1, BLOCK)
        mix = torch.randn(blocks.shape[1], 4, BLOCK, generator=noise) / 2
        free = torch.einsum("mnk,nkb->mnb", blocks[..., :4], mix).reshape(COUNT, -1)[:, :size]
    return [{"w": row.view(SHAPE) * scale} for row in free]


def exact(
    given: list[dict[str, torch.Tensor]], block: int = BLOCK, dampening: float = DAMPENING
) -> list[np.ndarray]:
    """Inverse of each block of the float64 Fisher matrix, written out; short last block."""
    rows = np.stack([g["w"].double().numpy().ravel() for g in given])
    found = []
    for start in range(0, rows.shape[1], block):
        part = rows[:, start : start + block]
        found.append(np.linalg.inv(dampening * np.eye(part.shape[1]) + part.T @ part / len(rows)))
    return found


def estimate(
    given: list[dict[str, torch.Tensor]],
    algebra: str = "auto",
    block: int = BLOCK,
    chunk: int = 8,
) -> tuple[InverseFisher, Piece]:
    piece = Piece("w", 0, given[0]["w"].numel())
    chosen = FisherSettings(block, len(given), DAMPENING, chunk, cast(Algebra, algebra))
    return inverse_fisher([piece], given, chosen), piece


def error(found: InverseFisher, piece: Piece, true: list[np.ndarray]) -> float:
    """Largest error of a diagonal entry relative to it."""
    diagonal = np.concatenate([np.diag(block) for block in true])
    return float(np.abs(found.diagonal(piece).double().numpy() / diagonal - 1).max())


@pytest.mark.parametrize("algebra", ALGEBRAS)
@pytest.mark.parametrize(
    ("kind", "scale"),
    [("free", 1e-5), ("free", 1e-2), ("flat", 1e-5), ("flat", 1e-2)],
    ids=["lambda >> F", "F >> lambda", "lambda >> F, low rank", "F >> lambda, low rank"],
)
def test_every_algebra_gives_the_inverse(algebra: str, kind: str, scale: float) -> None:
    given = gradients(kind, scale)
    found, piece = estimate(given, algebra)
    # Summed in float32, a block of low rank has lost eps tr/lambda: the reason for `auto`,
    # which notices, and keeps its tolerance.
    lost = {"accumulate": 3e-3, "auto": TOLERANCE / 4} if (kind, scale) == ("flat", 1e-2) else {}
    bound = lost.get(algebra, 2e-5)
    assert error(found, piece, exact(given)) < bound


@pytest.mark.parametrize("scale", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 10.0])
@pytest.mark.parametrize("kind", ["free", "flat"])
def test_auto_keeps_the_stated_tolerance(kind: str, scale: float) -> None:
    given = gradients(kind, scale)
    found, piece = estimate(given)
    assert error(found, piece, exact(given)) < TOLERANCE / 4
    trace = torch.stack([g["w"] for g in given]).square().mean(0).flatten()[:BLOCK].sum()
    bound = float(trace) / DAMPENING * torch.finfo(torch.float32).eps
    if bound > 2 * TOLERANCE:
        assert found.blocks[piece].whole is None  # float64
    if bound < TOLERANCE / 5:
        assert found.blocks[piece].whole is not None  # float32


@pytest.mark.parametrize("scale", [1e-2, 1.0])
def test_float64_has_the_digits_that_float32_lacks(scale: float) -> None:
    given, piece = gradients("flat", scale), Piece("w", 0, 42)
    chosen = FisherSettings(BLOCK, COUNT, DAMPENING, 8, "accumulate")
    errors = []
    for exactly in (True, False):
        summed = Estimate(piece, chosen, torch.device("cpu"))
        if exactly:
            summed.state.widen()
        for gradient in given:
            summed.add(gradient["w"].flatten())
        try:
            errors.append(error(InverseFisher({piece: summed.finish()}), piece, exact(given)))
        except DivergedError:  # float32 has lost all digits
            errors.append(np.inf)
    assert errors[0] < 1e-7
    assert errors[1] > 1e-5


def test_one_huge_gradient_is_noticed_before_it_is_added() -> None:
    given = gradients("flat", 1e-4)
    given[40]["w"] *= 1e4
    found, piece = estimate(given)
    assert error(found, piece, exact(given)) < TOLERANCE / 4


def test_few_gradients_take_the_small_system() -> None:
    given = gradients("free", 1e-3)[:2]
    found, piece = estimate(given)
    assert error(found, piece, exact(given)) < 1e-5


@given(scale=st.sampled_from([1e-5, 1e-3, 1.0]), seed=st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_blocks_of_one_weight(scale: float, seed: int) -> None:
    given = gradients("free", scale, seed)
    found, piece = estimate(given, block=1)
    assert error(found, piece, exact(given, block=1)) < 1e-5
    vector = torch.randn(42)
    assert torch.allclose(found.product(piece, vector), found.diagonal(piece) * vector)


@given(
    seed=st.integers(0, 100),
    chunk=st.integers(1, 70),
    algebra=st.sampled_from(ALGEBRAS),
    block=st.integers(2, 50),
)
@settings(deadline=None, max_examples=40)
def test_block_and_chunk_may_be_any(seed: int, chunk: int, algebra: str, block: int) -> None:
    given = gradients("free", 1e-3, seed)
    found, piece = estimate(given, algebra, block, chunk=chunk)
    true = exact(given, block)
    assert error(found, piece, true) < 1e-4
    vector = torch.randn(42, dtype=torch.float64)
    parts = np.split(vector.numpy(), range(block, 42, block))
    product = np.concatenate([t @ v for t, v in zip(true, parts, strict=True)])
    assert np.allclose(found.product(piece, vector).numpy(), product, rtol=1e-3, atol=1e2)


def test_padding_is_apart() -> None:
    found, piece = estimate(gradients("free", 1e-2))
    last = found.blocks[piece][slice(None)][-1]
    assert bool((last[:2, 2:] == 0).all())
    assert torch.allclose(last[2:, 2:].float(), torch.eye(8) / DAMPENING)


def test_masked_weights_are_apart() -> None:
    given = gradients("free", 1e-2)
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) > 0.5
    piece = Piece("w", 0, 42)
    settings_ = FisherSettings(BLOCK, COUNT, DAMPENING)
    found = inverse_fisher([piece], given, settings_, {"w": mask}).blocks[piece][slice(None)]
    masked = [{"w": g["w"] * mask} for g in given]
    alike = inverse_fisher([piece], masked, settings_).blocks[piece][slice(None)]
    assert torch.equal(found, alike)
    out = ~mask.flatten()[:BLOCK]
    assert bool((found[0][out][:, ~out] == 0).all())


def test_pieces_are_slices_of_the_whole() -> None:
    given = gradients("free", 1e-3)
    whole, piece = estimate(given)
    halves = [Piece("w", 0, 20), Piece("w", 20, 42)]
    parts = inverse_fisher(halves, given, FisherSettings(BLOCK, COUNT, DAMPENING, 8))
    joined = torch.cat([parts.diagonal(half) for half in halves])
    assert torch.equal(joined, whole.diagonal(piece))


@pytest.mark.parametrize("algebra", ["woodbury", "accumulate"])
def test_workers_change_nothing(algebra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = gradients("free", 1e-3)
    alone, piece = estimate(given, algebra)
    monkeypatch.setattr(parts, "PART", 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found, _ = estimate(given, algebra)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    every = slice(None)
    assert torch.allclose(found.blocks[piece][every], alone.blocks[piece][every], rtol=1e-4)


def test_gradients_that_are_not_finite_are_an_error() -> None:
    given = gradients("free", 1e-3)
    given[3]["w"][0, 0] = float("inf")
    with pytest.raises(DivergedError, match="gradient of w"):
        estimate(given)
    with pytest.raises(DivergedError, match="not positive definite"):
        estimate(given, "woodbury")


def test_number_of_gradients_is_checked() -> None:
    piece = Piece("w", 0, 42)
    with pytest.raises(ValueError, match="65 gradients were expected, 64 were given"):
        inverse_fisher([piece], gradients("free", 1e-5), FisherSettings(BLOCK, 65, DAMPENING))


@given(
    budget=st.integers(0, 10**11),
    block=st.sampled_from([1, 4, 50]),
    chunk=st.sampled_from(CHUNKS),
)
@settings(deadline=None)
def test_as_many_blocks_as_fit(budget: int, block: int, chunk: int) -> None:
    most = blocks_within(budget, block, chunk)
    assert state_bytes(most, block, chunk) <= budget
    assert state_bytes(most + 1, block, chunk) > budget
