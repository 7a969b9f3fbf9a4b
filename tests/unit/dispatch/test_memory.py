"""What an attempt took at the most, by the machine's own count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smc_bench.dispatch.worker import memory
from smc_bench.dispatch.worker.memory import MemoryWatch

MIB = 2**20
CPU = torch.device("cpu")


def _touch(mib: int) -> None:
    """Take so much memory, and give it back."""
    np.ones(mib * MIB // 8)


def test_the_peak_is_counted_anew_for_each_attempt() -> None:
    first = MemoryWatch(CPU)
    if not first.reset:
        pytest.skip("this machine does not let a process reset its high-water mark")
    _touch(300)
    found = first.read()
    assert found.of == "process"
    assert not found.at_most
    assert 290 * MIB < found.own < 400 * MIB
    second = MemoryWatch(CPU).read()
    assert second.own < 100 * MIB  # what the first one took does not count


def test_where_it_can_not_be_reset_the_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(300)
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "absent" / "clear_refs")
    watch = MemoryWatch(CPU)
    assert watch.read().at_most
    assert watch.read().bytes >= 300 * MIB  # of the whole life of the process
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "absent" / "status")
    assert MemoryWatch(CPU).read().before == 0
