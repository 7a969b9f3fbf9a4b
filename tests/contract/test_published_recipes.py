"""Shipped recipes give the sequences that were worked out from the published ones by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.suite.load import load_suite

SUITE = """
name: one
title: One
tasks: [squad, mnli, commonsense_qa, winogrande, race]
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


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # sf + (0.7 - sf) ((11 - i)/11)^3 for i = 0..10, then the target: 1331, 1000, ... of 1331.
        (
            0.8,
            [0.7, 0.7249, 0.7452, 0.7615, 0.7742, 0.7838, 0.7906, 0.7952, 0.7980, 0.7994, 0.7999],
        ),
        (
            0.9,
            [0.7, 0.7497, 0.7905, 0.8231, 0.8485, 0.8675, 0.8812, 0.8904, 0.8959, 0.8988, 0.8998],
        ),
        (
            0.97,
            [0.7, 0.7671, 0.8221, 0.8661, 0.9004, 0.9262, 0.9446, 0.9570, 0.9645, 0.9684, 0.9698],
        ),
    ],
)
def test_levels_of_the_ten_epochs(target: float, expected: list[float], tmp_path: Path) -> None:
    """Two epochs of fine-tuning, six with two events each, two more (arXiv 2203.07259, table 9)."""
    recipe = shipped("obert-10ep", "squad", tmp_path)
    timeline = build_timeline(recipe, target, STEPS * recipe.train.batch)
    assert timeline.total_steps == 10 * STEPS
    assert [e.step for e in timeline.events] == [200 + 50 * i for i in range(12)]
    assert [e.sparsity for e in timeline.events] == pytest.approx([*expected, target], abs=5.1e-5)


@pytest.mark.parametrize(("task", "batch", "floor"), [("squad", 16, 3e-5), ("mnli", 32, 2e-5)])
def test_rates_of_the_ten_epochs(task: str, batch: int, floor: float, tmp_path: Path) -> None:
    recipe = shipped("obert-10ep", task, tmp_path)
    assert recipe.train.batch == batch
    timeline = build_timeline(recipe, 0.9, STEPS * batch)
    rates = [learning_rate(recipe, timeline, step) for step in range(timeline.total_steps)]
    # Down from 8e-5 over epochs 0-8, back to it once, down again over epochs 8-10.
    first = [8e-5 - k / 799 * (8e-5 - floor) for k in range(800)]
    last = [8e-5 - k / 199 * (8e-5 - floor) for k in range(200)]
    assert rates == pytest.approx(first + last)


def test_ten_and_thirty_epochs_differ_in_their_schedules_alone(tmp_path: Path) -> None:
    for task in ("squad", "mnli"):
        ten, thirty = (shipped(f"obert-{n}ep", task, tmp_path) for n in (10, 30))
        left_out = {"sparsity_schedule": True, "lr_schedule": True, "train": {"duration"}}
        assert ten.model_dump(exclude=left_out) == thirty.model_dump(exclude=left_out)


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


@pytest.mark.parametrize(
    ("task", "rows", "every", "warmup", "total"),
    [
        # Steps: 3000; 23,750; three epochs of 25,421 rows in batches of 16 (1,589 each).
        ("commonsense_qa", 9741, "500it", 150, 3000),
        ("winogrande", 40398, "1000it", 2375, 23750),
        ("race", 25421, "1000it", 500, 4767),
    ],
)
def test_smc_bench_settings_of_each_task(
    task: str, rows: int, every: str, warmup: int, total: int, tmp_path: Path
) -> None:
    gmp = shipped("smc", task, tmp_path)
    timeline = build_timeline(gmp, 0.893, rows)
    assert timeline.total_steps == total
    rates = [learning_rate(gmp, timeline, step) for step in range(total)]
    assert rates.index(max(rates)) in (warmup - 1, warmup)
    assert max(rates) == pytest.approx(1e-5)
    assert rates[0] == pytest.approx(1e-5 / warmup)
    assert 0.1 * total <= timeline.events[0].step <= timeline.events[-1].step < 0.8 * total
    for name in ("smc-random-before-rigl", "smc-magnitude-before-rigl", "smc-snip-rigl"):
        regrowth = shipped(name, task, tmp_path).regrowth
        assert regrowth is not None
        assert regrowth.every == every == gmp.sparsity_schedule.every


@pytest.mark.parametrize("task", ["commonsense_qa", "winogrande", "race"])
def test_smc_bench_trains_again_from_the_beginning_of_the_rate(task: str, tmp_path: Path) -> None:
    """OMP and random after: the dense model, pruned at once, then all of the schedule again."""
    gmp = shipped("smc", task, tmp_path)
    rows = 25421
    full = build_timeline(gmp, 0.8, rows)
    for name in ("smc-omp-after", "smc-random-after", "smc-obert"):
        recipe = shipped(name, task, tmp_path)
        timeline = build_timeline(recipe, 0.8, rows)
        assert recipe.train.start_from == "teacher"
        assert [(e.step, e.sparsity) for e in timeline.events] == [(0, 0.8)]
        assert timeline.total_steps == full.total_steps
        for step in range(0, full.total_steps, 100):
            assert learning_rate(recipe, timeline, step) == learning_rate(gmp, full, step)


@pytest.mark.parametrize("task", ["commonsense_qa", "winogrande", "race"])
def test_lottery_ticket_trains_each_round_in_full(task: str, tmp_path: Path) -> None:
    gmp, lth = (shipped(name, task, tmp_path) for name in ("smc", "smc-lth"))
    rows = 25421
    full, timeline = build_timeline(gmp, 0.8, rows), build_timeline(lth, 0.488, rows)
    round_steps = full.total_steps
    assert [e.step for e in timeline.events] == [round_steps, 2 * round_steps, 3 * round_steps]
    assert [e.sparsity for e in timeline.events] == pytest.approx([0.2, 0.36, 0.488])
    assert all(e.rewind for e in timeline.events)
    for step in range(0, round_steps, 100):
        again = learning_rate(lth, timeline, 2 * round_steps + step)
        assert again == learning_rate(gmp, full, step)


def test_each_arm_of_the_roadmap_adds_one_step() -> None:
    """LTH, then the rate rewound instead of the weights, then oBERT, then distillation."""
    path = Path(__file__).parents[2] / "suites" / "smc_roadmap.yaml"
    for profile in ("paper", "laptop"):
        arms = load_suite(path, profile).recipes["commonsense_qa"].arms
        assert list(arms) == [
            "LTH", "+ LR rewinding", "+ oBERT criterion", "+ distillation", "guidelines"
        ]  # fmt: skip
        steps = [arms[name].model_dump() for name in list(arms)[:4]]
        changed = [
            {key for key in before if before[key] != after[key]}
            for before, after in itertools.pairwise(steps)
        ]
        assert changed == [{"sparsity_schedule"}, {"scorer", "scorer_options"}, {"distillation"}]
        assert [step["sparsity_schedule"]["weights"] for step in steps] == [
            "rewound",
            *["kept"] * 3,
        ]
        assert {step["scope"] for step in steps} == {("encoder",)}
        assert all(step["sparsity_schedule"]["removes"] == 0.2 for step in steps)
