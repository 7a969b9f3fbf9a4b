"""Options of the oBERT scorer; no torch here.

Sources: the published recipes of arXiv 2203.07259 and the ``OBSPruningModifier`` of sparseml that
runs them (below: sparseml); SMC-Bench is fairseq_cli/oBERT.py of arXiv 2303.02141.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from smc_bench.engine.recipe import Strict

FLOAT32_EPS = 2.0**-23
"""Machine epsilon of float32, sparseml's guard against division by zero."""

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b\s*", re.IGNORECASE)
_PREFIXES = ("", "k", "M", "G", "T")


def to_bytes(size: str) -> int:
    """A size such as ``4GB`` (10^9), ``4GiB`` (2^30) or ``512MB`` in bytes.

    Raises:
        ValueError: If it is not a number followed by a unit of bytes, or is zero.
    """
    match = _SIZE.fullmatch(size)
    if match is None or not float(match[1]):
        raise ValueError(f"{size!r} is no size of memory: write a number and a unit, 4GB or 512MiB")
    power = [prefix.lower() for prefix in _PREFIXES].index(match[2].lower())
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def _canonical(size: str) -> str:
    to_bytes(size)
    match = _SIZE.fullmatch(size)
    assert match is not None
    prefix = _PREFIXES[[p.lower() for p in _PREFIXES].index(match[2].lower())]
    return f"{float(match[1]):.12g}{prefix}{match[3].lower()}B"


def _with_unit(size: object) -> object:
    if isinstance(size, int | float) and not isinstance(size, bool):
        raise ValueError(f"{size} has no unit: write {size}GB or {size}MB")
    return size


def _epsilon(value: object) -> object:
    return (FLOAT32_EPS if value else 0.0) if isinstance(value, bool) else value


_epsilon_or_truth = BeforeValidator(_epsilon, json_schema_input_type=bool | float)

Size = Annotated[str, BeforeValidator(_with_unit), AfterValidator(_canonical)]
"""A size of memory, kept in one spelling (``4 gb`` becomes ``4GB``)."""


class ObertOptions(Strict):
    """What the Fisher matrix is estimated from, and what is done with its inverse.

    Attributes:
        block: Consecutive weights whose interactions are kept, B. 50 in the published recipes (32
            for 4-block); 1 in SMC-Bench.
        gradients: Mini-batch gradients, m. 1024 in the published recipes and sparseml; ``epoch``
            is one pass over the training rows (SMC-Bench).
        gradient_batch: Rows of a mini-batch. 16 in the recipes for MNLI and QQP, 8 for SQuAD.
        dampening: lambda. 1e-7 in the published recipes, sparseml and SMC-Bench.
        update: What becomes of the weights that stay. ``independent``: each newly pruned weight
            (or group) is made up for as if it went alone (sparseml); ``joint``: all that go from a
            block are made up for together, the exact step for the chosen mask; ``none``
            (SMC-Bench).
        gradient_mode: Whether dropout is off (``eval``, sparseml) or on (``train``, SMC-Bench).
        eps: Added to the denominators: true is float32's machine epsilon (sparseml), false is 0
            (SMC-Bench).
        fisher_memory: What the estimate may take. Above it, groups of weights are done in turn,
            each from gradients collected anew. This project's choice; it moves the last bits only.
    """

    block: int = Field(50, ge=1)
    gradients: Annotated[int, Field(ge=1)] | Literal["epoch"] = 1024
    gradient_batch: int = Field(16, ge=1)
    dampening: float = Field(1e-7, gt=0.0)
    update: Literal["independent", "joint", "none"] = "independent"
    gradient_mode: Literal["eval", "train"] = "eval"
    eps: Annotated[float, _epsilon_or_truth] = Field(FLOAT32_EPS, ge=0.0)
    fisher_memory: Size = "4GB"

    @property
    def fisher_bytes(self) -> int:
        """``fisher_memory`` in bytes."""
        return to_bytes(self.fisher_memory)
