"""One contestant of ``training.py`` in a process of its own: some steps of training, timed.

    python benchmarks/training_worker.py ours bf16 minilm sst2 32 6 [cpu or cuda]

Prints JSON: wall seconds of each counted step, CPU seconds a step, peak memory, tokens. On a GPU
steps are timed by CUDA events, and memory is torch's peak there. MiniLM is the folder of
SMC_BENCH_MINILM, where that is set.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import (
    BertConfig,
    DataCollatorForMultipleChoice,
    DataCollatorWithPadding,
    TrainerCallback,
    TrainingArguments,
)
from transformers import Trainer as TheirTrainer

from smc_bench.engine.context import Progress
from smc_bench.engine.execution import Execution
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.seeding import use_deterministic_kernels
from smc_bench.engine.trainer import Trainer
from smc_bench.models.heads import model_class
from smc_bench.models.load import load_model, load_tokenizer
from smc_bench.sources import rows, weights
from smc_bench.sources.lock import Lock
from smc_bench.sources.roots import Roots
from smc_bench.tasks.base import Encoding, Feature
from smc_bench.tasks.registry import get_task

WARM = 2
LENGTH = {"sst2": 128, "commonsense_qa": 128, "squad": 384}
SPLIT = {"squad": "train_partial"}


SIZES: dict[str, dict[str, int]] = {
    "tiny": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
    "base": {},
    # RoBERTa-large's shape and vocabulary (arXiv 1907.11692, appendix B; its config.json).
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "vocab_size": 50265,
    },
}
"""Configurations of models with random weights, on top of BERT-base's."""


class Clock:
    """Wall (on a GPU its own) and CPU time at the end of each step."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.marks: list[tuple[float, float]] = []
        self.events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        """Note a step's end."""
        self.marks.append((time.perf_counter(), time.process_time()))
        if self.device == "cuda":
            self.events.append(torch.cuda.Event(enable_timing=True))
            self.events[-1].record()

    def results(self) -> dict[str, Any]:
        """Seconds of the steps after the warm ones."""
        marks = self.marks[WARM - 1 :]
        wall = [b[0] - a[0] for a, b in itertools.pairwise(marks)]
        spent = {"s": wall, "cpu s": (marks[-1][1] - marks[0][1]) / len(wall)}
        if self.device == "cuda":
            torch.cuda.synchronize()
            pairs = itertools.pairwise(self.events[WARM - 1 :])
            spent |= {"s": [a.elapsed_time(b) / 1e3 for a, b in pairs], "wall s": wall}
        return spent


def minilm(roots: Roots, lock: Lock) -> Path:
    """The folder of MiniLM's weights and tokenizer."""
    if given := os.environ.get("SMC_BENCH_MINILM"):
        return Path(given)
    reference = weights.ModelRef.parse("minilm-l6")
    return weights.folder(reference, weights.fetch(reference, roots, lock), roots)


def material(task: str, count: int) -> tuple[Path, list[Feature], Any]:
    """Model folder, features of the first rows, tokenizer."""
    roots = Roots.from_environment()
    lock = Lock.load(roots.cache / "benchmarks-lock.json")
    folder = minilm(roots, lock)
    spec = get_task(task).spec
    split = SPLIT.get(task, "train")
    pin = rows.fetch(spec, spec.config, split, roots, lock)
    data = rows.load(spec, spec.config, split, pin, roots)[:count]
    tokenizer = load_tokenizer(folder)
    encoding = Encoding(LENGTH[task], 128 if task == "squad" else 0)
    return folder, get_task(task).features(data, tokenizer, encoding, train=True), tokenizer


def model_of(size: str, folder: Path, task: str) -> Any:
    """MiniLM with its weights, or one of :data:`SIZES` with random ones."""
    head, labels = get_task(task).head, get_task(task).spec.labels
    if size == "minilm":
        return load_model(folder, head, labels, seed=0)
    torch.manual_seed(0)
    config = BertConfig(num_labels=labels, **SIZES[size])
    return model_class(config, head).from_config(config)


class Silent:
    """A run context that only keeps time."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.execution = clock, Execution(checkpoint_every="10h")

    def newest_checkpoint(self) -> None:
        """There is none."""

    def progress(self, now: Progress) -> None:
        """A step has ended."""
        self.clock.mark()

    def should_stop(self) -> bool:
        """Never."""
        return False


def ours(
    model: Any, features: list[Feature], batch: int, precision: str, head: Any, device: str
) -> Clock:
    """The engine's own loop on unpadded batches; the features' order is kept."""
    clock = Clock(device)
    use_deterministic_kernels()
    recipe = Recipe.model_validate(
        {
            "lr_schedule": {"kind": "constant", "peak": 1e-6},
            "train": {"duration": "1ep", "batch": batch, "precision": precision, "clip": 1.0},
        }
    )
    accelerator = Accelerator(
        cpu=device == "cpu", mixed_precision={"fp32": "no"}.get(precision, precision)
    )
    feed = Feed(model.to(device), head, 0, accelerator.autocast, "none")
    timeline = build_timeline(recipe, 0.0, len(features))
    context: Any = Silent(clock)
    trainer = Trainer(
        feed, features, recipe, timeline, seed=0, accelerator=accelerator, context=context
    )
    trainer.batches = [list(range(at, at + batch)) for at in range(0, len(features), batch)]  # type: ignore[assignment]
    trainer.run()
    return clock


def theirs(
    model: Any,
    features: list[Feature],
    batch: int,
    precision: str,
    tokenizer: Any,
    head: Any,
    device: str,
) -> Clock:
    """Transformers' Trainer: dynamic padding, fused AdamW, clipping at 1, no logs, no saves."""
    clock = Clock(device)

    class Ends(TrainerCallback):
        def on_step_end(self, *args: Any, **rest: Any) -> None:
            clock.mark()

    class InOrder(TheirTrainer):
        def _get_train_sampler(self, *args: Any, **rest: Any) -> Any:
            return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    choices = head == "multiple_choice"
    collator = DataCollatorForMultipleChoice if choices else DataCollatorWithPadding
    names = {"label": "labels", "start": "start_positions", "end": "end_positions"}
    data = [
        {names.get(key, key): value for key, value in one.items() if key != "example"}
        | {"attention_mask": _ones(one["input_ids"])}
        for one in features
    ]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            per_device_train_batch_size=batch,
            num_train_epochs=1,
            learning_rate=1e-6,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=device == "cpu",
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            dataloader_num_workers=0 if device == "cpu" else 2,
            dataloader_pin_memory=device == "cuda",
            remove_unused_columns=False,
        )
        InOrder(
            model=model,
            args=settings,
            train_dataset=data,  # type: ignore[arg-type]
            data_collator=collator(tokenizer),
            callbacks=[Ends()],
        ).train()
    return clock


def _ones(ids: list[Any]) -> list[Any]:
    return [_ones(i) for i in ids] if isinstance(ids[0], list) else [1] * len(ids)


def tokens(features: list[Feature]) -> int:
    """Real tokens, of all choices."""
    return sum(len(np.hstack(feature["input_ids"])) for feature in features)


def largest_first(features: list[Feature], batch: int) -> list[Feature]:
    """The batch of most real tokens before the others."""
    batches = [features[at : at + batch] for at in range(0, len(features), batch)]
    batches.insert(0, batches.pop(max(range(len(batches)), key=lambda i: tokens(batches[i]))))
    return [feature for one in batches for feature in one]


def gemm(device: str, seconds: float = 3.0) -> float:
    """The best rate of a large bf16 matrix product here, FLOP/s."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def main() -> None:
    """Run what the arguments say: contestant, precision, size, task, batch, steps, device."""
    device = sys.argv[7] if len(sys.argv) > 7 else "cpu"
    who, precision, size, task, batch, steps = (*sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6]))
    if who == "gemm":
        print(json.dumps({"bf16 FLOP/s": gemm(device)}))
        return
    count = batch * (steps + WARM)
    folder, features, tokenizer = material(task, 2 * count)
    features = largest_first(features[:count], batch)
    model = model_of(size, folder, task).train()
    head = get_task(task).head
    if who == "ours":
        clock = ours(model, features, batch, precision, head, device)
    else:
        clock = theirs(model, features, batch, precision, tokenizer, head, device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e9
    counted = features[WARM * batch :]
    linear = sum(
        m.weight.numel() for m in model.base_model.encoder.modules() if isinstance(m, nn.Linear)
    )
    about = {
        "peak GB": peak,
        "tokens a step": tokens(counted) / steps,
        # Forward and twice that backward; 2 FLOPs a weight; attention left out.
        "FLOP a step": 6 * linear * tokens(counted) / steps,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(clock.results() | about))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
