from __future__ import annotations

from typing import Any

import pytest

from smc_bench.suite.cell import Cell
from smc_bench.suite.length import steps_of
from smc_bench.suite.predict import Predictor, Timing
from tests.unit.suite.test_identity import BASE, with_value


def cell(**changes: Any) -> Cell:
    content = BASE
    for path, value in changes.items():
        content = with_value(content, path.replace("__", "."), value)
    return Cell.model_validate(content)


def timing(of: Cell, rate: float, threads: int = 1, around: float | None = 5.0) -> Timing:
    return Timing(of, threads, rate * steps_of(of), around, weights=1000)


def test_cells_of_one_shape_take_their_steps_times_the_measured_rate() -> None:
    short, long = cell(sparsity=0.5), cell(sparsity=0.9, seed=2)
    assert steps_of(long) > steps_of(short)
    found = Predictor([timing(short, 0.1)]).predict(long, 1)
    assert found is not None
    assert found.basis == "measured"
    assert found.train == pytest.approx(0.1 * steps_of(long))
    assert found.total == pytest.approx(0.1 * steps_of(long) + 5.0)


def test_rates_of_several_cells_are_weighted_by_their_steps() -> None:
    short, long = cell(sparsity=0.5), cell(sparsity=0.9)
    timings = [timing(short, 0.1, around=4.0), timing(long, 0.4, around=8.0)]
    found = Predictor([*timings, timing(long, 9.9, around=None)]).predict(cell(seed=7), 2)
    assert found is not None
    assert found.basis == "scaled"  # other threads
    same = Predictor(timings).predict(cell(seed=7), 1)
    steps = steps_of(short) + steps_of(long)
    rate = (0.1 * steps_of(short) + 0.4 * steps_of(long)) / steps
    assert same is not None
    assert same.train == pytest.approx(rate * steps_of(cell()))
    assert same.around == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"task__max_length": 128}, 2.0),
        ({"recipe__train__batch": 16}, 0.5),
        ({"recipe__distillation": None, "teacher": None}, 1.0),
    ],
)
def test_other_shapes_are_scaled_by_tokens_of_a_step(
    changes: dict[str, Any], factor: float
) -> None:
    other = cell(**changes)
    found = Predictor([timing(cell(), 0.1)]).predict(other, 1)
    assert found is not None
    assert found.basis == "scaled"
    assert found.train == pytest.approx(factor * 0.1 * steps_of(other))


def test_more_threads_are_taken_to_be_as_much_faster() -> None:
    found = Predictor([timing(cell(), 0.1, threads=1)]).predict(cell(), 2)
    assert found is not None
    assert found.train == pytest.approx(0.05 * steps_of(cell()))


def test_the_nearest_by_flops_stands_in() -> None:
    near, far = cell(task__max_length=128), cell(task__max_length=512)
    predictor = Predictor([timing(far, 99.0), timing(near, 0.1)])
    found = predictor.predict(cell(task__max_length=96), 1)
    assert found is not None
    assert found.train == pytest.approx(0.75 * 0.1 * steps_of(cell()))


def test_models_are_compared_by_their_linear_weights() -> None:
    big = cell(model="google-bert/bert-base-uncased", model_pin="hub:1")
    known = Timing(cell(), 1, 0.1 * steps_of(cell()), 0.0, weights=84_934_656 // 8)
    found = Predictor([known]).predict(big, 1)
    assert found is not None
    assert found.train == pytest.approx(8 * 0.1 * steps_of(big))


@pytest.mark.parametrize(
    "changes",
    [{"recipe__train__precision": "bf16"}, {"model": "unknown/model", "model_pin": "hub:2"}],
)
def test_what_nothing_is_comparable_to_is_not_known(changes: dict[str, Any]) -> None:
    assert Predictor([timing(cell(), 0.1)]).predict(cell(**changes), 1) is None
    assert Predictor([]).predict(cell(), 1) is None


def test_cells_that_only_prune_take_as_long_as_each_other() -> None:
    changes: dict[str, Any] = {
        "recipe__sparsity_schedule": {"kind": "one_shot", "at": "0it"},
        "recipe__train__duration": "0it",
        "recipe__train__start_from": "teacher",
    }
    done, other = cell(**changes), cell(**changes, sparsity=0.8)
    assert steps_of(done) == 0
    found = Predictor([Timing(done, 1, 7.0, 5.0)]).predict(other, 1)
    assert found is not None
    assert found.total == pytest.approx(12.0)


@pytest.mark.parametrize(("gradients", "rows"), [(256, 256 * 16), ("epoch", 67349)])
def test_gradients_of_a_scorer_count_as_the_steps_they_amount_to(
    gradients: int | str, rows: int
) -> None:
    options = {"gradients": gradients, "gradient_batch": 16}
    scored = cell(recipe__scorer="obert", recipe__scorer_options=options, sparsity=0.9)
    found = Predictor([timing(cell(sparsity=0.9), 0.1)]).predict(scored, 1)
    assert found is not None
    steps = steps_of(scored) + 5 * rows / 32  # five events for 0.9
    assert found.train == pytest.approx(0.1 * steps, rel=1e-3)


def test_steps_that_another_cell_takes_cost_nothing() -> None:
    whole, sharing = cell(sparsity=0.9), cell(sparsity=0.9, seed=2)
    steps = steps_of(whole)
    half = Timing(sharing, 1, 0.1 * (steps - steps // 2), 5.0, spared=steps // 2)

    found = Predictor([half], {sharing.id: steps // 2})

    all_of_it, rest = found.predict(whole, 1), found.predict(sharing, 1)
    assert all_of_it is not None
    assert rest is not None
    assert all_of_it.train == pytest.approx(0.1 * steps)
    assert rest.train == pytest.approx(half.train)
