"""Load a backbone with a task head and its tokenizer, from a local folder of safetensors only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from smc_bench.errors import ModelError
from smc_bench.models.components import ARCHITECTURES
from smc_bench.tasks.base import Head

_AUTO: dict[Head, Any] = {
    "sequence_classification": AutoModelForSequenceClassification,
    "multiple_choice": AutoModelForMultipleChoice,
    "question_answering": AutoModelForQuestionAnswering,
}
# The names that architectures give to their two dropout rates.
_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model folder.

    Raises:
        ModelError: If the folder has none.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: no usable tokenizer: {_first_line(error)}") from None
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: only fast tokenizers are supported (tokenizer.json)")
    return tokenizer


def load_model(
    folder: Path, head: Head, labels: int, *, seed: int, dropout: float | None = None
) -> Any:
    """A float32 model with a task head; the head's new weights depend on ``seed`` alone.

    Args:
        folder: Local folder with ``config.json`` and safetensors weights.
        head: Kind of head.
        labels: Outputs of a classification head (1 for regression).
        seed: Seeds the initial weights of what the folder does not hold.
        dropout: Replaces every dropout rate of the configuration.

    Raises:
        ModelError: If the folder holds no safetensors, or an architecture that is not supported.
    """
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: holds no .safetensors weights (pickled weights are refused)")
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: no usable config.json: {_first_line(error)}") from None
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{folder}: architecture {config.model_type!r} is not one of {known}")
    if head == "sequence_classification":
        config.num_labels = labels
    for name in _DROPOUT:
        if dropout is not None and hasattr(config, name):
            setattr(config, name, dropout)
    torch.manual_seed(seed)
    try:
        model = _AUTO[head].from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: can't be loaded: {_first_line(error)}") from None
    return model


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def quiet_tokenizers() -> None:
    """Keep the tokenizers library from starting threads of its own beside torch's."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
