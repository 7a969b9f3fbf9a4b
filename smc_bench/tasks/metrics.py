"""Official metrics as plain functions; :mod:`smc_bench.tasks.metric_modules` wraps them.

The wrappers import ``evaluate``, which takes seconds and all of transformers' pipelines with it;
scoring a task does without. scipy and scikit-learn are imported where they are used: ``check``
looks at tasks without scoring any.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def accuracy(predictions: Sequence[int], references: Sequence[int]) -> float:
    """Share of predictions that equal their references, 0..1.

    Raises:
        ValueError: If there is nothing to score, or unequally many of both (as in all of these).
    """
    from sklearn import metrics as sk

    _check(predictions, references)
    return float(sk.accuracy_score(references, predictions))


def f1(predictions: Sequence[int], references: Sequence[int]) -> float:
    """F1 of the positive class (label 1), 0..1; 0 where there is no positive on either side."""
    from sklearn import metrics as sk

    _check(predictions, references)
    return float(sk.f1_score(references, predictions, zero_division=0))


def matthews_correlation(predictions: Sequence[int], references: Sequence[int]) -> float:
    """Matthews correlation, -1..1; 0 where one side is constant."""
    from sklearn import metrics as sk

    _check(predictions, references)
    if len(set(predictions)) < 2 or len(set(references)) < 2:
        return 0.0
    return float(sk.matthews_corrcoef(references, predictions))


def pearson(predictions: Sequence[float], references: Sequence[float]) -> float:
    """Pearson's r, -1..1; 0 where one side is constant (but for rounding)."""
    from scipy import stats

    _check(predictions, references)
    if _constant(predictions) or _constant(references):
        return 0.0
    return float(stats.pearsonr(references, predictions).statistic)


def spearman(predictions: Sequence[float], references: Sequence[float]) -> float:
    """Spearman's rank correlation, -1..1; 0 where one side is constant."""
    from scipy import stats

    _check(predictions, references)
    if len(set(predictions)) < 2 or len(set(references)) < 2:
        return 0.0
    return float(stats.spearmanr(references, predictions).statistic)


METRICS: dict[str, Callable[[Sequence[Any], Sequence[Any]], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews_correlation": matthews_correlation,
    "pearson": pearson,
    "spearman": spearman,
}
"""Metrics of one number a row, by the names that task specs use."""


def percent(
    names: Sequence[str], predictions: Sequence[Any], references: Sequence[Any]
) -> dict[str, float]:
    """Several metrics of the same predictions, times 100.

    Raises:
        ValueError: If there is nothing to score.
    """
    return {name: 100.0 * METRICS[name](predictions, references) for name in names}


def squad_normalize(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces (SQuAD v1.1 official script)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def token_f1(prediction: str, gold: str) -> float:
    """Harmonic mean of token precision and recall, 0..1 (SQuAD v1.1 official script)."""
    ours, theirs = squad_normalize(prediction).split(), squad_normalize(gold).split()
    shared = sum((Counter(ours) & Counter(theirs)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(ours), shared / len(theirs)
    return 2 * precision * recall / (precision + recall)


def best_f1(prediction: str, golds: Sequence[str]) -> float:
    """Token F1 against the best of several gold answers, 0..1."""
    return max(token_f1(prediction, gold) for gold in golds)


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if a normalised gold answer equals the normalised prediction, else 0.0."""
    return float(any(squad_normalize(prediction) == squad_normalize(gold) for gold in golds))


def squad(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """``exact_match`` and ``f1``, 0..100, each over the best of a question's gold answers.

    Raises:
        ValueError: If there is nothing to score, unequally many of both, or no gold answer to one.
    """
    _check(predictions, references)
    if not all(references):
        raise ValueError("a question has no gold answer")
    pairs = list(zip(predictions, references, strict=True))
    return {
        "exact_match": 100.0 * sum(exact_match(said, golds) for said, golds in pairs) / len(pairs),
        "f1": 100.0 * sum(best_f1(said, golds) for said, golds in pairs) / len(pairs),
    }


def _check(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    if len(references) == 0:
        raise ValueError("there is nothing to score: no rows")


def _constant(values: Sequence[float]) -> bool:
    found = np.asarray(values, dtype=np.float64)
    spread = float(np.linalg.norm(found - found.mean()))
    # Below this, scipy warns that r is nothing but rounding errors.
    return bool(spread <= np.finfo(np.float64).eps ** 0.75 * abs(found.mean()))
