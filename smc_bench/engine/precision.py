"""Which precision trains faster on this machine: what ``train.precision: auto`` stands for.

``python -m smc_bench.engine.precision`` measures and prints JSON. A processor without bf16
arithmetic emulates it, 5 to 10 times slower than float32; one that has it, or a GPU, gains. Weights
are float32 either way, and so are Fisher gradients and statistics.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import torch
from torch import nn

WORTH = 1.15
"""How many times faster bf16 must be to be chosen."""

_ROUNDS = 5
# A MiniLM-like layer on a batch of 32 short sentences.
_TOKENS, _WIDTH, _LAYERS = 768, 384, 3


def measure(device: torch.device) -> dict[str, Any]:
    """Time forward and backward of a few feed-forward layers in both precisions, interleaved.

    Returns:
        ``choice`` (``fp32`` or ``bf16``), median milliseconds of each, device and threads.
    """
    torch.manual_seed(0)
    layers = [
        nn.Sequential(nn.Linear(_WIDTH, 4 * _WIDTH), nn.GELU(), nn.Linear(4 * _WIDTH, _WIDTH))
        for _ in range(_LAYERS)
    ]
    model = nn.Sequential(*layers).to(device)
    tokens = torch.randn(_TOKENS, _WIDTH, device=device)
    times: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for round_ in range(_ROUNDS + 1):
        for name, found in times.items():
            seconds = _step(model, tokens, name == "bf16")
            if round_:  # the first one warms up
                found.append(seconds)
    median = {name: statistics.median(found) for name, found in times.items()}
    gains = median["fp32"] >= WORTH * median["bf16"]
    return {
        "choice": "bf16" if gains else "fp32",
        "fp32_ms": round(1e3 * median["fp32"], 3),
        "bf16_ms": round(1e3 * median["bf16"], 3),
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def _step(model: nn.Module, tokens: torch.Tensor, half: bool) -> float:
    device = tokens.device
    start = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        out = model(tokens)
    out.float().square().mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(torch.device("cuda" if torch.cuda.is_available() else "cpu"))))
