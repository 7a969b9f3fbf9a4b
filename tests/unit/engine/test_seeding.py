"""Determinism is asked for without its debugging aids."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from smc_bench.engine.seeding import use_deterministic_kernels


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    mode = torch.get_deterministic_debug_mode()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.set_deterministic_debug_mode(mode)
    torch.utils.deterministic.fill_uninitialized_memory = fills


def _operations() -> set[str]:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        torch.empty(1000)
    return {event.key for event in seen.key_averages()}


def test_kernels_are_deterministic_and_new_memory_is_not_filled() -> None:
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert "aten::fill_" in _operations()  # what torch does by default

    use_deterministic_kernels()

    assert torch.are_deterministic_algorithms_enabled()
    assert "aten::fill_" not in _operations()
