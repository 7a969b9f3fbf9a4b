"""A tiny classifier in memory with its training data, for tests of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import BertConfig, BertForSequenceClassification

from smc_bench.engine.context import Progress
from smc_bench.engine.execution import Execution
from smc_bench.engine.loss.distributed import ALONE, Processes
from smc_bench.engine.loss.model_inputs import Feed, Padding
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.trainer import Trainer
from smc_bench.errors import Interrupted


def tiny_classifier(seed: int = 0, dropout: float = 0.0) -> BertForSequenceClassification:
    settings: dict[str, Any] = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
        "num_labels": 2,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    torch.manual_seed(seed)
    return BertForSequenceClassification(BertConfig(**settings))


def tiny_features(count: int = 24, seed: int = 0) -> list[dict[str, Any]]:
    """Sequences of unequal length whose label is the parity of their second token."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        ids = [2, *map(int, rng.integers(4, 40, size=int(rng.integers(2, 9)))), 3]
        found.append({"input_ids": ids, "example": i, "label": ids[1] % 2})
    return found


def tiny_objective(model: Any, features: list[dict[str, Any]] | None = None) -> Objective:
    return Objective(tiny_feed(model), features or tiny_features())


def tiny_feed(model: Any, padding: Padding = "none") -> Feed:
    return Feed(model, "sequence_classification", 0, padding=padding)


def recipe(**changes: Any) -> Recipe:
    base: dict[str, Any] = {
        "scope": ["encoder"],
        "sparsity_schedule": {"kind": "one_shot", "at": "0it"},
        "lr_schedule": {"kind": "constant", "peak": 1e-2},
        "train": {"duration": "6it", "batch": 8, "clip": None, "dropout": 0.0},
    }
    return Recipe.model_validate(base | changes)


class MemoryContext:
    """A run context without inputs: checkpoints in a folder, a stop after some steps."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.folder, self.stop_after = folder, stop_after
        self.execution, self.steps = Execution(), 0

    def shares_prefix(self) -> bool:
        return False

    def newest_checkpoint(self) -> Path | None:
        return max(self.folder.glob("step-*"), default=None)

    def checkpoint_folder(self, step: int) -> Path:
        path = self.folder / f"step-{step:05d}"
        path.mkdir(parents=True)
        return path

    def commit_checkpoint(self, folder: Path) -> None:
        pass

    def progress(self, now: Progress) -> None:
        if now.phase == "train":
            self.steps = now.step

    def should_stop(self) -> bool:
        return self.steps == self.stop_after


def trainer(
    model: Any,
    settings: Recipe,
    target: float,
    context: MemoryContext,
    processes: Processes = ALONE,
    **more: Any,
) -> Trainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    features = tiny_features()
    timeline = build_timeline(settings, target, len(features))
    return Trainer(
        tiny_feed(model, settings.train.padding),
        features,
        settings,
        timeline,
        seed=5,
        accelerator=Accelerator(cpu=True),
        context=context,  # type: ignore[arg-type]
        processes=processes,
        **more,
    )


def trained(settings: Recipe, target: float, folder: Path, stop_after: int | None = None) -> Any:
    """The trained model; stopped and resumed on the way where ``stop_after`` says so."""
    dropout = settings.train.dropout or 0.0
    if stop_after is not None:
        first = tiny_classifier(dropout=dropout)
        with pytest.raises(Interrupted):
            trainer(first, settings, target, MemoryContext(folder, stop_after)).run()
    run = trainer(tiny_classifier(dropout=dropout), settings, target, MemoryContext(folder))
    assert run.step == (stop_after or 0)
    run.run()
    return run
