from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smc_bench.engine.recipe import Recipe, RewindLR, Training
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import build_timeline, rounds_to, scaled_levels


def recipe(**changes: object) -> Recipe:
    base: dict[str, object] = {
        "lr_schedule": {"kind": "linear", "peak": 1.0},
        "train": {"duration": "30ep", "batch": 1},
    }
    return Recipe.model_validate(base | changes)


RAMP = {"kind": "ramp", "initial": 0.7, "start": "2ep", "end": "26ep", "every": "4ep"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # The sequences that the authors' oBERT recipes give, worked out in the notes on them.
        (0.8, [0.7000, 0.7421, 0.7704, 0.7875, 0.7963, 0.7995, 0.8000]),
        (0.9, [0.7000, 0.7843, 0.8407, 0.8750, 0.8926, 0.8991, 0.9000]),
        (0.97, [0.7000, 0.8137, 0.8900, 0.9363, 0.9600, 0.9688, 0.9700]),
    ],
)
def test_published_thirty_epoch_ramp(target: float, expected: list[float]) -> None:
    timeline = build_timeline(recipe(sparsity_schedule=RAMP), target, 10)
    assert [e.step for e in timeline.events] == [20, 60, 100, 140, 180, 220, 260]
    assert [e.sparsity for e in timeline.events] == pytest.approx(expected, abs=5e-5)


@given(total=st.integers(60, 4000))
def test_shares_that_meet_the_end_give_no_extra_event(total: int) -> None:
    shares = {"start": "6.666667%", "end": "86.666667%", "every": "13.333333%"}
    settings = {"duration": f"{total}it", "batch": 1}
    timeline = build_timeline(recipe(sparsity_schedule=RAMP | shares, train=settings), 0.9, 10)
    assert len(timeline.events) == 7
    assert timeline.events[-1].step == round(0.86666667 * total)


def test_smc_bench_events_end_below_the_target() -> None:
    smc = {
        "kind": "ramp",
        "start": "10%",
        "end": "80%",
        "every": "500it",
        "align": "zero",
        "end_inclusive": False,
    }
    settings = {"duration": "3000it", "batch": 16}
    timeline = build_timeline(recipe(sparsity_schedule=smc, train=settings), 0.893, 9741)
    assert [e.step for e in timeline.events] == [500, 1000, 1500, 2000]
    assert [e.sparsity for e in timeline.events] == pytest.approx(
        [0.232, 0.628, 0.823, 0.887], abs=6e-4
    )


@pytest.mark.parametrize(
    "window",
    [
        {"start": "10it", "end": "10it", "every": "1it"},
        # SMC-Bench's ramp in a training shorter than the time between two of its events.
        {
            "start": "10%",
            "end": "80%",
            "every": "500it",
            "align": "zero",
            "end_inclusive": False,
        },
    ],
)
def test_a_ramp_that_prunes_nothing_is_refused(window: dict[str, object]) -> None:
    """It would stand in a table as sparse as asked, and be the dense model."""
    settings = {"duration": "200it", "batch": 1}
    ramp = recipe(sparsity_schedule={"kind": "ramp", **window}, train=settings)
    with pytest.raises(ValueError, match=r"ends at a sparsity of 0, but 0\.9"):
        build_timeline(ramp, 0.9, 100)


# SMC-Bench's scripts write 1 - 0.8^k, k = 1..10, so.
GRID = [0.2, 0.36, 0.488, 0.590, 0.672, 0.738, 0.791, 0.8325, 0.866, 0.893]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("rounds", "published"), list(enumerate(GRID, 1)))
def test_published_levels_take_as_many_rounds_as_they_stand_for(
    rounds: int, published: float, exact: bool
) -> None:
    target = 1.0 - 0.8**rounds if exact else published
    schedule = {"kind": "rounds", "removes": 0.2, "round": "3000it"}
    settings = {"duration": "scaled", "batch": 16}
    timeline = build_timeline(recipe(sparsity_schedule=schedule, train=settings), target, 9741)
    assert [event.step for event in timeline.events] == [3000 * i for i in range(1, rounds + 1)]
    assert timeline.total_steps == 3000 * (rounds + 1)
    assert timeline.final_sparsity == target
    levels = [event.sparsity for event in timeline.events[:-1]]
    assert levels == pytest.approx([1.0 - 0.8**i for i in range(1, rounds)])


@given(st.floats(0.001, 0.999), st.floats(0.05, 0.6))
def test_rounds_are_as_few_as_can_be(target: float, removes: float) -> None:
    """By counting: each leaves 1 - removes of what there was; the last may take a trace more."""
    left, rounds = 1.0, 0
    while left > 1.0 - target:
        left, rounds = left * (1.0 - removes), rounds + 1
    found = rounds_to(target, removes)
    assert found in (rounds, max(1, rounds - 1))
    last = 1.0 - (1.0 - target) / (1.0 - removes) ** (found - 1)
    assert last <= 1.0 - (1.0 - removes) ** 1.02 + 1e-9
    if found < rounds:  # then it was the trace that was too little for a round of its own
        assert last > removes


@pytest.mark.parametrize(("target", "count"), [(0.5, 1), (0.7, 1), (0.8, 3), (0.9, 5), (0.97, 8)])
def test_scaled_schedule_counts(target: float, count: int) -> None:
    assert len(scaled_levels(target, 0.7, 0.3)) == count


@pytest.mark.parametrize("initial", [0.0, 0.5, 0.6, 0.8, 0.95])
@pytest.mark.parametrize(("target", "count"), [(0.5, 1), (0.8, 3), (0.9, 5), (0.97, 8)])
def test_other_first_steps_at_equal_length(initial: float, target: float, count: int) -> None:
    levels = scaled_levels(target, initial, 0.3, paced_from=0.7)
    assert len(levels) == count
    if count > 1:
        assert levels[0] == pytest.approx(min(initial, target))
    left = [1.0 - level for level in levels]
    # Equal shares of what is left, up to the target.
    assert all(after / before <= 1.0 + 1e-12 for before, after in pairwise(left))
    assert [b / a for a, b in pairwise(left)] == pytest.approx(
        [(left[-1] / left[0]) ** (1 / max(1, count - 1))] * (count - 1)
    )
    assert levels[-1] == target


@given(target=st.floats(0.05, 0.99), initial=st.floats(0.0, 0.9), removes=st.floats(0.05, 0.9))
def test_scaled_events_remove_at_most_their_share(
    target: float, initial: float, removes: float
) -> None:
    levels = scaled_levels(target, initial, removes)
    assert levels[-1] == target
    for before, after in pairwise(levels):
        assert (after - before) / (1.0 - before) <= removes + 1e-6


def test_scaled_length_follows_from_the_target() -> None:
    scaled = {"kind": "scaled", "start": "2ep", "cycle": "4ep"}
    settings = {"duration": "scaled", "batch": 1}
    for target, events in ((0.7, 1), (0.8, 3), (0.9, 5)):
        timeline = build_timeline(recipe(sparsity_schedule=scaled, train=settings), target, 10)
        assert timeline.total_steps == 20 + 40 * events


def test_rewinding_rate_restores_its_peak_at_each_event() -> None:
    rewind = {"kind": "rewind", "peak": 8e-5, "floor": 8e-6}
    settings = recipe(sparsity_schedule=RAMP, lr_schedule=rewind)
    timeline = build_timeline(settings, 0.9, 10)
    rates = [learning_rate(settings, timeline, step) for step in range(timeline.total_steps)]
    for event in timeline.events:
        assert rates[event.step] == pytest.approx(8e-5)
        assert rates[event.step - 1] == pytest.approx(8e-6)
    # Inside a cycle of c steps: peak - k/(c-1) (peak - floor).
    assert rates[20 + 13] == pytest.approx(8e-5 - 13 / 39 * (8e-5 - 8e-6))


def test_linear_rate_equals_transformers() -> None:
    import torch
    from transformers import get_linear_schedule_with_warmup

    settings = recipe(train={"duration": "40it", "batch": 1})
    timeline = build_timeline(settings, 0.0, 10)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, 40)
    for step in range(40):
        expected = schedule.get_last_lr()[0]
        assert math.isclose(learning_rate(settings, timeline, step), expected)
        optimizer.step()
        schedule.step()


def test_window_outside_training_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        build_timeline(
            recipe(sparsity_schedule=RAMP, train={"duration": "5ep", "batch": 1}), 0.9, 10
        )


def test_the_rate_goes_back_where_it_is_told() -> None:
    rewind = {"kind": "rewind", "peak": 1.0, "floor": 0.0, "at": ["5it", "80%", "99ep"]}
    settings = {"duration": "10it", "batch": 1}
    timed = recipe(sparsity_schedule=RAMP | {"start": "1it", "end": "3it", "every": "1it"})
    timed = timed.model_copy(
        update={"lr_schedule": RewindLR.model_validate(rewind), "train": Training(**settings)}
    )
    timeline = build_timeline(timed, 0.9, 10)
    rates = [learning_rate(timed, timeline, step) for step in range(10)]
    assert rates == pytest.approx([1, 0.75, 0.5, 0.25, 0, 1, 0.5, 0, 1, 0])


def test_two_rules_for_the_rate_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="period and at"):
        RewindLR.model_validate({"kind": "rewind", "peak": 1.0, "period": "4ep", "at": ["8ep"]})
    with pytest.raises(ValueError, match="at least 1"):
        RewindLR.model_validate({"kind": "rewind", "peak": 1.0, "at": []})
