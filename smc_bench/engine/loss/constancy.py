"""Whether a model's output depends on its input at all, measured on its logits.

A head whose weights are all zero answers with its bias: the same for every input. But that a head
is nearly empty does not make it so: what is said of the output is looked up in the output.

Equal is not taken to the bit: the same numbers in another row of a batch, or in a batch of another
size, go through other kernels and may differ in the last bits. Logits count as equal within
:data:`ROUNDING`, sixteen units in the last place of float32, of the largest magnitude among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smc_bench.engine.context import Constancy
from smc_bench.tasks.base import Head, Outputs

ROUNDING = 16 * float(np.finfo(np.float32).eps)
"""Relative difference up to which two logits are the same number (about 1.9e-6)."""

TRAINING_ROWS = 256
"""At most so many sequences of the training split are looked at."""


def constancy(outputs: Outputs, head: Head) -> Constancy:
    """Look at the logits of all given sequences.

    Sequence classification (and regression): constant if every sequence has the same logits.
    Multiple choice: if within each row all choices score the same. Spans: if at every position all
    windows that reach it have the same logits, for the start and for the end; a model that knows
    only where a token stands, not what is there, does not depend on the input either. Language
    modelling: if at every position the likeliest token has one log probability in all sequences,
    which is all that is kept of the distribution over the vocabulary; of answers that were written,
    if all are the same text.

    Args:
        outputs: One 1-D array a head, for each sequence.
        head: Kind of head.
    """
    if outputs[0][0].dtype.kind == "U":
        return Constancy(len(outputs), len({str(texts[0]) for (texts,) in outputs}) <= 1)
    if head == "language_modelling":
        return Constancy(len(outputs), _windows_equal([peaks for _, peaks in outputs]))
    if head == "question_answering":
        equal = all(_windows_equal([heads[h] for heads in outputs]) for h in range(2))
        return Constancy(len(outputs), equal)
    logits = [np.asarray(heads[0]) for heads in outputs]
    classes = len({int(found.argmax()) for found in logits}) <= 1
    if head == "multiple_choice":
        slack = _slack(logits)
        equal = all(bool(np.ptp(found) <= slack) for found in logits)
        return Constancy(len(logits), equal, classes)
    return Constancy(len(logits), _windows_equal(logits), classes if len(logits[0]) > 1 else None)


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers below ``count``, evenly spaced."""
    chosen = min(count, most)
    return [index * count // chosen for index in range(chosen)]


def _windows_equal(rows: Sequence[NDArray[np.float32]]) -> bool:
    """Whether rows of any lengths agree wherever more than one of them has a value."""
    slack = _slack(rows)
    longest = max(rows, key=len)
    low, high = longest.astype(np.float64), longest.astype(np.float64)
    for row in rows:
        low[: len(row)] = np.minimum(low[: len(row)], row)
        high[: len(row)] = np.maximum(high[: len(row)], row)
    return bool((high - low <= slack).all())


def _slack(rows: Sequence[NDArray[np.float32]]) -> float:
    return ROUNDING * max(float(np.abs(row).max()) for row in rows)
