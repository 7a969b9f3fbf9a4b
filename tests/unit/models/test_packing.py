from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from smc_bench.models import layout as layouts
from smc_bench.models import packing
from smc_bench.models.layout import Layout, place, split, take

CPU = torch.device("cpu")


def cost(sizes: list[int], groups: list[int]) -> float:
    total, at = 0.0, 0
    for count in groups:
        total += count * sizes[at] ** 2 + layouts._GROUP
        at += count
    return total


def every_cut(count: int) -> list[list[int]]:
    found = []
    for cuts in product([False, True], repeat=count - 1):
        groups = [1]
        for cut in cuts:
            groups = [*groups, 1] if cut else [*groups[:-1], groups[-1] + 1]
        found.append(groups)
    return found


@pytest.mark.parametrize("sizes", [[5], [300, 7, 7, 6], [90, 80, 79, 40, 12, 11, 10, 3], [9] * 6])
def test_groups_cost_least_of_all_cuts(sizes: list[int]) -> None:
    best = min(cost(sizes, groups) for groups in every_cut(len(sizes)))
    assert cost(sizes, split(np.array(sizes))) == best


@pytest.mark.parametrize("lengths", [[4], [3, 9, 2, 120, 9], [60, 64, 3, 3, 3, 62]])
def test_every_token_has_a_slot_of_its_own_sequence(lengths: list[int]) -> None:
    layout = Layout.of(lengths, CPU)
    owner = torch.full((layout.total,), -1)
    owner[layout.slots] = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    seen = []
    slots = owner.split([group.count * group.length for group in layout.groups])
    for group, rows in zip(layout.groups, slots, strict=True):
        for row in rows.view(group.count, group.length):
            (sequence,) = set(row[row >= 0].tolist())
            seen.append(sequence)
            # Left to right, real tokens first.
            assert (row[: lengths[sequence]] == sequence).all()
            assert (row[lengths[sequence] :] == -1).all()
        if group.mask is None:
            assert (rows >= 0).all()
        else:
            assert torch.equal(group.mask.flatten(), rows >= 0)
    assert sorted(seen) == list(range(len(lengths)))
    assert layout.real.sum(1).tolist() == lengths


def test_place_and_take_have_each_other_s_gradient() -> None:
    rows = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    places = torch.tensor([4, 0, 2])
    assert torch.autograd.gradcheck(lambda x: place(x, places, 6), rows)
    wide = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: take(x, places), wide)


@pytest.mark.parametrize(("masked", "causal"), [(False, False), (True, False), (False, True)])
def test_own_attention_is_torch_s(masked: bool, causal: bool) -> None:
    """The spelling used with dropout, against torch's kernel, at a rate that drops nothing."""
    q, k, v = torch.randn(3, 2, 2, 5, 4, dtype=torch.float64)
    mask = (torch.arange(5) < 3).view(1, 1, 1, 5).expand(2, -1, -1, -1) if masked else None
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=0.3
    )
    got = packing._attend(q, k, v, mask, 1e-12, 0.3, causal=causal)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
