"""Two real processes (gloo) against one, on a tiny random BERT."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from smc_bench.engine.loss.distributed import ALONE, Processes
from tests.helpers.engine import MemoryContext
from tests.helpers.together import RUNS, begun, start, state

# float32 sums in another order, through 12 steps of AdamW: found, 2e-7 at most.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left of every run."""
    folder = tmp_path_factory.mktemp("together")
    codes = [process.wait() for process in start(folder, "all")]
    assert codes == [0, 0], (folder / "0.log").read_text() + (folder / "1.log").read_text()
    return folder


@pytest.fixture
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_the_model_of_one(
    name: str, together: Path, tmp_path: Path, deterministic: None
) -> None:
    run = begun(name, MemoryContext(tmp_path))
    run.run()
    assert run.pruner.masks
    expected = state(run)
    two, other = (load_file(together / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert two.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(two[key], other[key]), key
        if tensor.dtype == torch.bool:
            assert torch.equal(two[key], tensor), key
        elif not key.startswith("score"):
            torch.testing.assert_close(two[key], tensor, rtol=0.0, atol=TOLERANCE, msg=key)


def test_dropout_noise_is_that_of_one_process_with_the_same_micro_batch(
    together: Path, tmp_path: Path, deterministic: None
) -> None:
    # A sum of two numbers has one order, so even the bits are the same.
    run = begun("dropout", MemoryContext(tmp_path))
    run.run()
    found = load_file(together / "dropout-0.safetensors")
    assert all(torch.equal(tensor, found[key]) for key, tensor in state(run).items())


@pytest.mark.parametrize("name", ["movement", "dropout"])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(name: str, together: Path) -> None:
    for rank in (0, 1):
        whole = load_file(together / f"{name}-{rank}.safetensors")
        resumed = load_file(together / f"{name}-resumed-{rank}.safetensors")
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())
    steps = sorted(path.name for path in (together / f"{name}-resumed").iterdir())
    assert steps == ["step-00005"]


def test_a_process_that_stands_still_and_other_weights_are_errors_not_hangs(tmp_path: Path) -> None:
    first, second = start(tmp_path, "stall")
    try:
        assert first.wait() == 0, (tmp_path / "0.log").read_text()
    finally:
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
    told = json.loads((tmp_path / "told-0.json").read_text())
    assert told["drift"][0] == "AuditError"
    assert "hold different values of" in told["drift"][1]
    assert told["lost"][0] == "RankLostError"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(("rows", "size"), [(12, 4), (7, 2), (3, 4), (1, 1), (10, 3)])
def test_parts_cover_a_batch_once_with_shares_by_rows(count: int, rows: int, size: int) -> None:
    indices = np.arange(100, 100 + rows)
    seen: dict[int, list[int]] = {}
    total = 0.0
    for index in range(count):
        mine = list(Processes(index, count).parts(indices, size))
        assert mine  # each has gradients, if only zeros
        for number, part, share in mine:
            assert share in (0.0, len(part) / rows)
            total += share
            if share:
                seen[number] = [int(row) for row in part]
    assert total == pytest.approx(1.0)
    assert [row for number in sorted(seen) for row in seen[number]] == list(indices)
    assert sorted(seen) == list(range(-(-rows // size)))


def test_alone_nothing_is_asked_of_anybody() -> None:
    assert ALONE.main
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.from_main({"a": None}) == {"a": None}
    assert ALONE.sum(0.1) == 0.1
    with ALONE.main_first():
        ALONE.check_same({"a": torch.ones(2)}, "now")
    made = ALONE.in_turn([3, 4], lambda number, item: [torch.tensor(number + item)], [])
    assert [int(tensors[0]) for tensors in made] == [3, 5]
