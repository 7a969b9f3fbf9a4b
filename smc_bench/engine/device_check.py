"""What this device does of what a cell needs: bf16, equal bits twice, steps a second, memory.

``python -m smc_bench.engine.device_check`` prints a line of JSON a stage, each as soon as it is
known, so that a crash of a later stage costs nothing of an earlier one. Models have random weights
and the shapes of real ones; steps are those of the engine's own trainer, with dropout, clipping and
deterministic kernels as in a cell. MiniLM trains on sequences as long as SST-2's, the larger ones
at full length, which is how :mod:`smc_bench.suite.estimate` counts their work.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from smc_bench.engine.accelerator import accelerator
from smc_bench.engine.context import Progress
from smc_bench.engine.execution import Execution
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.seeding import generator, use_deterministic_kernels
from smc_bench.engine.trainer import Trainer
from smc_bench.tasks.base import Feature

BATCH = 32
# Deciles of SST-2's training sentences in BERT's word pieces, with [CLS] and [SEP]; mean 13.3.
_DECILES = (3, 4, 6, 7, 8, 10, 13, 16, 20, 27, 65)
_WARM, _CHUNK, _FEATURES = 3, 5, 2048
_EQUAL_STEPS = 3


@dataclass(frozen=True)
class Shape:
    """A model's size, and the length of what it trains on (None: as SST-2's)."""

    name: str
    layers: int
    width: int
    heads: int
    vocabulary: int = 30522
    length: int | None = None

    def model(self, device: torch.device) -> Any:
        """A classifier of two classes with random weights, made on the device."""
        settings: dict[str, Any] = {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.width,
            "num_labels": 2,
        }
        torch.manual_seed(0)
        with device:
            return BertForSequenceClassification(BertConfig(**settings))

    def features(self, count: int) -> list[Feature]:
        """Random tokens with random labels."""
        rng = generator(0, "device check")
        at = np.linspace(0, 1, len(_DECILES))
        drawn = np.interp(rng.random(count), at, _DECILES).round().astype(int)
        lengths = drawn if self.length is None else np.full(count, self.length)
        return [
            {
                "input_ids": [int(i) for i in rng.integers(5, self.vocabulary, size=length)],
                "example": i,
                "label": int(rng.integers(2)),
            }
            for i, length in enumerate(lengths)
        ]


SHAPES = (
    Shape("minilm-l6", 6, 384, 12),
    Shape("google-bert/bert-base-uncased", 12, 768, 12, length=128),
    Shape("FacebookAI/roberta-large", 24, 1024, 16, vocabulary=50265, length=128),
)
TINY = (Shape("tiny", 2, 32, 2, vocabulary=100),)


class _Silent:
    """A run context without checkpoints."""

    def __init__(self) -> None:
        self.execution = Execution(checkpoint_every="1000h")

    def newest_checkpoint(self) -> None:
        """There is none."""

    def progress(self, now: Progress) -> None:
        """Nobody looks."""

    def should_stop(self) -> bool:
        """Never."""
        return False


def make_trainer(shape: Shape, precision: str, features: list[Feature]) -> Trainer:
    """The engine's trainer on a model of this shape, without pruning.

    Args:
        shape: The model's.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        features: What it trains on.
    """
    recipe = Recipe.model_validate(
        {
            "lr_schedule": {"kind": "constant", "peak": 1e-5},
            "train": {"duration": "1000000it", "batch": BATCH, "precision": precision, "clip": 1.0},
        }
    )
    ours = accelerator({"fp32": "no"}.get(precision, precision))
    feed = Feed(
        shape.model(ours.device), "sequence_classification", 0, ours.autocast, recipe.train.padding
    )
    timeline, context = build_timeline(recipe, 0.0, len(features)), _Silent()
    silent: Any = context
    return Trainer(feed, features, recipe, timeline, seed=0, accelerator=ours, context=silent)


def facts(device: torch.device) -> dict[str, Any]:
    """Name, versions, memory in bytes; the precision that the other stages train in."""
    found: dict[str, Any] = {"device": device.type, "torch": torch.__version__}
    if device.type != "cuda":
        return found | {"name": "CPU", "bf16": False, "precision": "fp32"}
    free, total = torch.cuda.mem_get_info()
    # Emulated, it would be slower than float32.
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return found | {
        "name": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "memory": total,
        "free": free,
        "bf16": bf16,
        "precision": "bf16" if bf16 else "fp16",
    }


def equal_twice(shape: Shape, precision: str) -> dict[str, Any]:
    """Train a few steps twice from the same seed: whether all weights are equal to the bit.

    ``unlike`` names operations for which torch has no deterministic kernel, in its own words.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        once, again = (_after_steps(shape, precision) for _ in range(2))
    equal = all(torch.equal(once[name], again[name]) for name in once)
    unlike = {str(w.message).split("\n")[0] for w in caught if "determinis" in str(w.message)}
    return {"equal": equal, "unlike": sorted(unlike)}


def _after_steps(shape: Shape, precision: str) -> dict[str, torch.Tensor]:
    trainer = make_trainer(shape, precision, shape.features(BATCH * _EQUAL_STEPS))
    trainer.reach(_EQUAL_STEPS)
    return dict(trainer.raw.state_dict())


def rate(shape: Shape, precision: str, seconds: float) -> dict[str, Any]:
    """Train for some seconds after a few warm steps.

    Returns:
        ``steps_per_second``; ``tokens`` a step and ``squares``, the sum of squared lengths a step,
        as work follows from; ``memory``, the most in bytes: on a GPU torch's own allocations,
        elsewhere of the whole process.
    """
    features = shape.features(_FEATURES if shape.length is None else 4 * BATCH)
    trainer = make_trainer(shape, precision, features)
    device = trainer.raw.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer.reach(_WARM)
    _finished(device)
    started = time.perf_counter()
    passed = 0.0
    while passed < seconds or trainer.step == _WARM:
        trainer.reach(trainer.step + _CHUNK)
        _finished(device)
        passed = time.perf_counter() - started
    steps = trainer.step - _WARM
    lengths = [
        len(features[int(i)]["input_ids"])
        for step in range(_WARM, trainer.step)
        for i in trainer.batches[step]
    ]
    return {
        "steps_per_second": steps / passed,
        "tokens": sum(lengths) / steps,
        "squares": sum(length**2 for length in lengths) / steps,
        "memory": _peak(device),
    }


def _finished(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run all stages; one that fails says why, and the next one goes on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each training")
    parser.add_argument("--tiny", action="store_true", help="tries the code, measures nothing")
    asked = parser.parse_args()
    use_deterministic_kernels()
    shapes = TINY if asked.tiny else SHAPES
    first, *larger = shapes
    known = facts(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    print(json.dumps({"stage": "device", **known}), flush=True)
    precision = str(known["precision"])
    _stage("determinism", lambda: equal_twice(first, precision))
    _stage("training", lambda: rate(first, precision, asked.seconds), **_told(first, precision))
    if known["device"] == "cpu":
        return  # a dry run: the larger ones would take minutes
    # The published recipes of the larger ones train in fp16, ours in bf16.
    for kind in dict.fromkeys((precision, "fp16")):
        for shape in larger:
            torch.cuda.empty_cache()
            work = partial(rate, shape, kind, asked.seconds / 2)
            _stage("training", work, **_told(shape, kind))


def _told(shape: Shape, precision: str) -> dict[str, Any]:
    return {"model": shape.name, "precision": precision, "batch": BATCH}


def _stage(stage: str, work: Callable[[], dict[str, Any]], **told: Any) -> None:
    try:
        found = work()
    except torch.OutOfMemoryError as error:
        found = {"error": "out of memory: " + str(error).split("\n")[0].split(". ")[0]}
    except Exception as error:  # whatever a driver, a kernel or a library comes up with
        lines = str(error).strip().splitlines() or [type(error).__name__]
        found = {"error": lines[0]}
    print(json.dumps({"stage": stage, **told, **found}), flush=True)


if __name__ == "__main__":
    main()
