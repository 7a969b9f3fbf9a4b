"""Determinism is asked for without its debugging aids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from smc_bench.engine.seeding import use_deterministic_kernels
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer


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


def test_nothing_is_read_that_was_not_written(tmp_path: Path) -> None:
    """New memory that is all NaN would show in the weights of unpadded training with pruning."""
    use_deterministic_kernels()
    made = recipe(sparsity_schedule={"kind": "one_shot", "at": "3it"})
    assert made.train.padding == "none"
    weights = []
    for filled in (True, False):
        torch.utils.deterministic.fill_uninitialized_memory = filled
        found = trainer(
            tiny_classifier(dropout=0.1), made, 0.5, MemoryContext(tmp_path / str(filled))
        )
        found.run()
        weights.append(found.raw.state_dict())
    for name, tensor in weights[0].items():
        assert bool(tensor.isfinite().all()), name
        assert torch.equal(tensor, weights[1][name]), name
