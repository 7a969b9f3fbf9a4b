"""A score in parts, one for each evaluation example, with the score as their mean.

A score that is a mean over examples (accuracy, SQuAD's F1) is the mean of their own scores. F1 of a
class and Matthews' correlation are smooth functions of four counts; there an example's part is the
score plus its influence on it (the infinitesimal jackknife: Efron, The Jackknife, the Bootstrap and
Other Resampling Plans, chapter 6), so that differences of means are again what counts. So are nats
a token, a ratio of two sums over documents, and perplexity.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from smc_bench.report.statistics.stats import Floats

Kind = Literal[
    "mean", "exact", "f1", "matthews_correlation", "pearson", "spearman", "perplexity",
    "nats_per_token",
]  # fmt: skip


def contributions(kind: Kind, predictions: list[int], correct: list[float]) -> Floats:
    """Parts of a score in points, shape (examples,), with the score as their mean.

    Args:
        kind: The score (no correlation but Matthews').
        predictions: Class 0 or 1 of each example (not used for ``mean`` and ``exact``).
        correct: Score of each example, 0..1. ``exact`` counts those that are 1: SQuAD's exact
            match, where no answer has all words of a reference but in another order.
    """
    right: Floats = np.asarray(correct, dtype=np.float64)
    if kind == "mean":
        return 100.0 * right
    if kind == "exact":
        return np.where(right == 1.0, 100.0, 0.0)
    said = np.asarray(predictions, dtype=np.int64)
    gold = np.where(right == 1.0, said, 1 - said)
    cell = 2 * gold + said  # 0 true negative, 1 false positive, 2 false negative, 3 true positive
    counts = np.bincount(cell, minlength=4).astype(np.float64)
    score, slopes = _f1(counts) if kind == "f1" else _matthews(counts)
    return 100.0 * (score + len(cell) * slopes[cell])


def of_texts(
    kind: Literal["perplexity", "nats_per_token"], nats: list[float], tokens: list[float]
) -> Floats:
    """Parts of nats a token, or of perplexity, by document, with the score as their mean.

    Nats a token R = sum(nats) / sum(tokens) moves by (nats_i - R tokens_i) / sum(tokens) with a
    document's share, perplexity exp(R) by exp(R) times that.

    Args:
        kind: The score.
        nats: Minus the summed log probabilities of each document's tokens, (documents,).
        tokens: Scored tokens of each, (documents,).

    Raises:
        ValueError: Both are not of the same documents, or there are no tokens.
    """
    losses, counts = (np.asarray(values, dtype=np.float64) for values in (nats, tokens))
    if losses.shape != counts.shape or not counts.sum() > 0.0:
        raise ValueError("not nats and tokens of the same documents")
    rate = losses.sum() / counts.sum()
    moved = len(losses) * (losses - rate * counts) / counts.sum()
    parts: Floats = rate + moved if kind == "nats_per_token" else np.exp(rate) * (1.0 + moved)
    return parts


def _f1(counts: Floats) -> tuple[float, Floats]:
    """F1 of class 1 and its slope in each count; the slopes sum to 0 over the examples."""
    _, fp, fn, tp = counts
    total = 2.0 * tp + fp + fn
    if not total:
        return 0.0, np.zeros(4)
    wrong = -2.0 * tp / total**2
    return 2.0 * tp / total, np.array([0.0, wrong, wrong, 2.0 * (fp + fn) / total**2])


def _matthews(counts: Floats) -> tuple[float, Floats]:
    """Matthews' correlation and its slope in each count; 0 where one side is constant."""
    tn, fp, fn, tp = counts
    said, gold, not_said, not_gold = tp + fp, tp + fn, tn + fn, tn + fp
    root = np.sqrt(said * gold * not_said * not_gold)
    if not root:
        return 0.0, np.zeros(4)
    score = float((tp * tn - fp * fn) / root)
    slopes = np.array([tp, -fn, -fp, tn]) / root
    sides = [
        1.0 / not_said + 1.0 / not_gold,
        1.0 / said + 1.0 / not_gold,
        1.0 / gold + 1.0 / not_said,
        1.0 / said + 1.0 / gold,
    ]
    return score, slopes - 0.5 * score * np.array(sides)
