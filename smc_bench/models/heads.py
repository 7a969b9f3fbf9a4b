"""Which of transformers' classes puts a task's head on an architecture."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoModelForCausalLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from smc_bench.errors import ModelError
from smc_bench.models.architecture import architecture, no_head
from smc_bench.tasks.base import Head

_AUTO: dict[Head, Any] = {
    "sequence_classification": AutoModelForSequenceClassification,
    "multiple_choice": AutoModelForMultipleChoice,
    "question_answering": AutoModelForQuestionAnswering,
}


def flat_choices(config: Any) -> bool:
    """Whether choices are sequences of their own, each with one score.

    Encoders have a class for multiple choice; others have none, and are given one output.
    """
    return architecture(config).kind != "encoder"


def model_class(config: Any, head: Head) -> Any:
    """The class whose ``from_pretrained`` and ``from_config`` make a model with a head.

    Raises:
        ModelError: There is none whose weights load, or the architecture is not known.
    """
    kind = architecture(config).kind
    problem = no_head(config.model_type, head)
    if problem is not None:
        raise ModelError(problem)
    if head == "language_modelling":
        return AutoModelForCausalLM if kind == "decoder" else AutoModelForSeq2SeqLM
    if kind == "encoder" or head == "question_answering":
        return _AUTO[head]
    return AutoModelForSequenceClassification


def outputs_of(config: Any, head: Head, labels: int) -> int:
    """Outputs of a head: labels, or one score for each flattened choice; 2 where nothing asks."""
    if head == "sequence_classification":
        return labels
    return 1 if head == "multiple_choice" and flat_choices(config) else 2
