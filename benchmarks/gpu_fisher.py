"""One pruning event of gradual oBERT on a model of some size, timed: a process of ``gpu.py``.

    python benchmarks/gpu_fisher.py base 1024 cuda

Blocks of 50, mini-batches of 16 rows of SST-2, all encoder weights to 70 %, the engine's own
scorer, at most 20 GB for the estimate. Prints JSON: seconds, gradients, memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import torch
from accelerate import Accelerator
from training_worker import Clock, Silent, material, model_of

from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.seeding import use_deterministic_kernels
from smc_bench.engine.trainer import Trainer

TASK, TARGET = "sst2", 0.7


def main() -> None:
    """Score and prune once."""
    size, count, device = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    use_deterministic_kernels()
    _, features, _ = material(TASK, 16 * count)
    options = {
        "block": 50, "gradients": count, "gradient_batch": 16, "dampening": 1e-7,
        "update": "independent", "gradient_mode": "eval", "fisher_memory": "20GB",
    }  # fmt: skip
    recipe = Recipe.model_validate(
        {
            "scope": ["encoder"],
            "scorer": "obert",
            "scorer_options": options,
            "sparsity_schedule": {"kind": "one_shot", "at": "0it"},
            "lr_schedule": {"kind": "constant", "peak": 1e-6},
            "train": {"duration": "1it", "batch": 16, "precision": "bf16"},
        }
    )
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16")
    model = model_of(size, material(TASK, 1)[0], TASK).to(device)
    feed = Feed(model, "sequence_classification", 0, accelerator.autocast, "none")
    context: Any = Silent(Clock(device))
    context.progress = lambda now: None
    timeline = build_timeline(recipe, TARGET, len(features))
    trainer = Trainer(
        feed, features, recipe, timeline, seed=0, accelerator=accelerator, context=context
    )
    start = time.perf_counter()
    (event,) = timeline.events
    trainer.pruner.prune(event)
    if device == "cuda":
        torch.cuda.synchronize()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    masks = trainer.pruner.masks.values()
    weights = sum(mask.numel() for mask in masks)
    left = sum(int(mask.bool().sum()) for mask in masks)
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - start,
                "gradients": count,
                "weights": weights,
                "sparsity": 1 - left / weights,
                "peak GB": memory / 1e9,
            }
        )
    )


if __name__ == "__main__":
    main()
