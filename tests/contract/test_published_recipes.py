"""Shipped recipes give the sequences that were worked out from the published ones by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from smc_bench.engine.lr_schedule import learning_rate
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.sparsity_schedule import build_timeline
from smc_bench.suite.load import load_suite

SUITE = """
name: one
title: One
tasks: [squad, mnli, commonsense_qa]
model: google-bert/bert-base-uncased
sparsity: [0.9]
seeds: [1]
baseline: {recipe}
arms: {{arm: {{}}}}
"""
STEPS = 100  # a round number of optimizer steps an epoch


def shipped(name: str, task: str, tmp_path: Path) -> Recipe:
    path = tmp_path / "one.yaml"
    path.write_text(SUITE.format(recipe=name))
    return load_suite(path).recipes[task].arms["arm"]


@pytest.mark.parametrize("name", ["obert-30ep", "gmp-30ep"])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0.8, [0.7000, 0.7421, 0.7704, 0.7875, 0.7963, 0.7995, 0.8000]),
        (0.9, [0.7000, 0.7843, 0.8407, 0.8750, 0.8926, 0.8991, 0.9000]),
        (0.97, [0.7000, 0.8137, 0.8900, 0.9363, 0.9600, 0.9688, 0.9700]),
    ],
)
def test_levels_of_the_thirty_epochs(
    name: str, target: float, expected: list[float], tmp_path: Path
) -> None:
    recipe = shipped(name, "squad", tmp_path)
    timeline = build_timeline(recipe, target, STEPS * recipe.train.batch)
    assert timeline.total_steps == 30 * STEPS
    assert [e.step for e in timeline.events] == [STEPS * epoch for epoch in range(2, 27, 4)]
    assert [e.sparsity for e in timeline.events] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("name", ["obert-30ep", "gmp-30ep"])
@pytest.mark.parametrize(
    ("task", "batch", "peak", "floor"), [("squad", 16, 8e-5, 8e-6), ("mnli", 32, 5e-5, 5e-6)]
)
def test_rates_of_the_thirty_epochs(
    name: str, task: str, batch: int, peak: float, floor: float, tmp_path: Path
) -> None:
    recipe = shipped(name, task, tmp_path)
    assert recipe.train.batch == batch
    timeline = build_timeline(recipe, 0.9, STEPS * batch)
    rates = [learning_rate(recipe, timeline, step) for step in range(timeline.total_steps)]
    # Linear over epochs 0-2, then cycles of 4 epochs from epoch 2: peaks at 0, 2, 6, ..., 26.
    edges = [0, *range(2, 31, 4)]
    for start, end in itertools.pairwise(edges):
        length = (end - start) * STEPS
        expected = [peak - k / (length - 1) * (peak - floor) for k in range(length)]
        assert rates[start * STEPS : end * STEPS] == pytest.approx(expected)


def test_obert_and_its_twin_differ_in_the_scorer_alone(tmp_path: Path) -> None:
    for task, batch in (("squad", 8), ("mnli", 16)):
        obert, gmp = (shipped(name, task, tmp_path) for name in ("obert-30ep", "gmp-30ep"))
        scorer = {"scorer", "scorer_options"}
        assert obert.model_dump(exclude=scorer) == gmp.model_dump(exclude=scorer)
        options = obert.scorer_options
        assert (options["block"], options["gradients"], options["dampening"]) == (50, 1024, 1e-7)
        assert options["gradient_batch"] == batch
        assert obert.distillation is not None
        assert (obert.distillation.hardness, obert.distillation.temperature) == (1.0, 2.0)


def test_old_gradual_recipe(tmp_path: Path) -> None:
    timeline = build_timeline(shipped("gradual", "squad", tmp_path), 0.9, STEPS * 16)
    assert (timeline.events[0].step, timeline.events[-1].step) == (2 * STEPS + 1, 20 * STEPS)
    # Halfway, (1 - x)^3 = 1/8 of the target is left to do.
    assert timeline.sparsity_at(11 * STEPS) == pytest.approx(0.9 * (1 - 1 / 8))
    assert timeline.total_steps == 30 * STEPS


def test_smc_bench_recipe(tmp_path: Path) -> None:
    timeline = build_timeline(shipped("smc", "commonsense_qa", tmp_path), 0.893, 9741)
    assert [e.step for e in timeline.events] == [500, 1000, 1500, 2000]
    levels = [e.sparsity for e in timeline.events]
    assert levels == pytest.approx([0.232, 0.628, 0.823, 0.887], abs=6e-4)
    assert timeline.final_sparsity / 0.893 == pytest.approx(0.993, abs=5e-4)
