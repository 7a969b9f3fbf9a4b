"""Where the tests of this folder run: a GPU; or, where it is asked for, a CPU as a dry run."""

from __future__ import annotations

import os

import pytest
import torch

from smc_bench.engine.seeding import use_deterministic_kernels

DRY_RUN = "SMC_BENCH_GPU_DRY_RUN"
"""Set to 1, the same code runs on the CPU: it shows that the tests run, and nothing of a GPU."""


@pytest.fixture(scope="session")
def device() -> torch.device:
    if torch.cuda.is_available():
        use_deterministic_kernels()
        return torch.device("cuda")
    if os.environ.get(DRY_RUN) == "1":
        return torch.device("cpu")
    pytest.skip(f"needs a GPU ({DRY_RUN}=1 runs it on the CPU)")


@pytest.fixture(params=["fp16", "bf16"])
def precision(request: pytest.FixtureRequest, device: torch.device) -> str:
    if request.param == "fp16" and device.type == "cpu":
        pytest.skip("fp16 has no loss scaler on a CPU")
    return str(request.param)
