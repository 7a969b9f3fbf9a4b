from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.engine.pruning.obert import slices as parts
from smc_bench.engine.pruning.obert.symmetric import Symmetric
from tests.helpers.matrices import symmetric

CPU = torch.device("cpu")


def matrices(count: int, block: int, seed: int = 0) -> torch.Tensor:
    noise = torch.Generator().manual_seed(seed)
    root = torch.randn(count, block, block, generator=noise, dtype=torch.float64)
    return root @ root.mT


@given(count=st.integers(1, 9), block=st.integers(1, 12), chunk=st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_both_kinds_are_the_matrices(count: int, block: int, chunk: int) -> None:
    true, noise = matrices(count, block), torch.Generator().manual_seed(1)
    vectors = torch.randn(count, block, generator=noise)
    gradients = torch.randn(count, chunk, block, generator=noise)
    some = torch.tensor([count - 1, 0])
    for dtype, digits in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        found = symmetric(true.to(dtype))
        close = {"rtol": digits, "atol": 100 * digits}
        found.add_outer(gradients)
        expected = true + torch.einsum("ncb,ncd->nbd", gradients.double(), gradients.double())
        assert found[slice(None)].dtype == dtype
        assert torch.allclose(found[slice(None)].double(), expected, **close)
        assert torch.allclose(found[some].double(), expected[some], **close)
        assert torch.allclose(found.diagonal().double(), expected.diagonal(dim1=1, dim2=2), **close)
        product = (expected @ vectors.double().unsqueeze(2)).squeeze(2)
        assert torch.allclose(found.product(vectors).double(), product, **close)


def test_widening_keeps_every_bit_and_takes_no_room() -> None:
    found = symmetric(matrices(5, 7).float())
    before, place = found[slice(None)].clone(), found._room.data_ptr()
    found.widen()
    found.widen()
    assert found._room.data_ptr() == place
    assert torch.equal(found[slice(None)], before.double())


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Symmetric(11, 4, CPU), Symmetric(11, 4, CPU)
    gradients = torch.randn(11, 3, 4, generator=torch.Generator().manual_seed(0))
    one.widen()
    one.add_outer(gradients)
    monkeypatch.setattr(parts, "PART", 2)
    other.widen()
    other.add_outer(gradients)
    assert torch.equal(one[slice(None)], other[slice(None)])
