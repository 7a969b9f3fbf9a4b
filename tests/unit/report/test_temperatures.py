"""Softened distributions against closed forms, and what the files hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import entropy as reference_entropy

from smc_bench.report.figures.temperatures import Softened, entropy, soften

TEMPERATURES = [1.0, 2.0, 5.5]


def spans(count: int = 21) -> Softened:
    """Windows whose teacher is ever less sure."""
    rng = np.random.default_rng(0)
    logits = []
    for k in range(count):
        heads = tuple((0.01 * rng.standard_normal(30)).astype(np.float32) for _ in range(2))
        for head in heads:
            head[7] += 20.0 - 0.8 * k
        logits.append(heads)
    return Softened("squad", logits)


def test_softening_is_softmax_of_the_scaled_logits_and_does_not_overflow() -> None:
    logits = np.array([3.0, -1.0, 0.5], dtype=np.float32)
    for temperature in TEMPERATURES:
        assert soften(logits, temperature) == pytest.approx(softmax(logits / temperature), rel=1e-6)
    assert soften(np.array([1e4, 0.0], dtype=np.float32), 1.0) == pytest.approx([1.0, 0.0])
    # Two answers: the odds are the T-th root.
    pair = soften(np.array([np.log(9.0), 0.0], dtype=np.float32), 2.0)
    assert pair == pytest.approx([0.75, 0.25], rel=1e-6)


def test_entropy_is_that_of_scipy_and_at_most_the_flat_one() -> None:
    mass = soften(np.arange(6, dtype=np.float32), 1.0)
    assert entropy(mass) == pytest.approx(reference_entropy(mass))
    assert entropy(np.array([1.0, 0.0])) == 0.0
    assert entropy(np.full(8, 0.125)) == pytest.approx(np.log(8))


def test_statistics_have_each_sequence_head_and_temperature() -> None:
    found = spans().statistics(TEMPERATURES)
    assert len(found) == 21 * 2 * 3
    means = found.groupby("temperature")[["entropy", "top1"]].mean()
    # Entropy grows with temperature, and the likeliest loses mass, whatever the logits.
    assert means["entropy"].is_monotonic_increasing
    assert means["top1"].is_monotonic_decreasing
    assert (found["entropy"] <= np.log(found["choices"]) + 1e-9).all()


def test_shown_are_a_sure_a_usual_and_an_unsure_sequence() -> None:
    # Sorted by sureness as they are made: the 10th, 50th and 90th percentile of 21.
    assert spans().chosen() == [2, 10, 18]
    assert Softened("squad", spans().logits[:1]).chosen() == [0, 0, 0]


@pytest.mark.parametrize("heads", [1, 2])
def test_figure_and_tables_are_written(heads: int, tmp_path: Path) -> None:
    few = spans() if heads == 2 else Softened("sst2", [x[:1] for x in spans().logits])
    files = few.draw(TEMPERATURES, tmp_path)
    assert [path.suffix for path in files] == [".csv", ".csv", ".png", ".pdf"]
    assert files[-1].read_bytes().startswith(b"%PDF")
    shown = pd.read_csv(files[1])
    totals = shown.groupby(["sequence", "head", "temperature"])["probability"].sum()
    assert len(totals) == 3 * heads * 3
    assert totals.to_numpy() == pytest.approx(1.0)
    text = few.markdown(TEMPERATURES)
    assert text.count("| 5.5 ") == heads
