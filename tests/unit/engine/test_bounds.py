from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.durations import ClockTime, Duration, split_duration, to_seconds
from smc_bench.engine.schedules.settings import RampSchedule
from smc_bench.engine.schedules.sparsity import MAX_EVENTS, build_timeline
from smc_bench.engine.strict import Strict
from smc_bench.errors import SuiteError, one_line


def ramp(total: int, every: int = 1) -> Recipe:
    return Recipe.model_validate(
        {
            "lr_schedule": {"kind": "constant", "peak": 1.0},
            "train": {"duration": f"{total}it"},
            "sparsity_schedule": {
                "kind": "ramp", "start": "0it", "end": "100%", "every": f"{every}it",
                "end_inclusive": False,
            },
        }
    )  # fmt: skip


def test_as_many_events_as_are_allowed() -> None:
    assert len(build_timeline(ramp(MAX_EVENTS), 0.5, 10).events) == MAX_EVENTS - 1  # 0 at step 0
    assert len(build_timeline(ramp(10 * MAX_EVENTS, 100), 0.5, 10).events) == MAX_EVENTS // 10 - 1


@pytest.mark.parametrize("total", [MAX_EVENTS + 1, 10**6, 999_999_999])
def test_more_events_are_an_error_before_they_are_made(total: int) -> None:
    with pytest.raises(ValueError, match=rf"^{total:,} pruning events, more than 200,000: every"):
        build_timeline(ramp(total), 0.5, 10)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("30ep", "30ep"),
        ("30.0 ep", "30ep"),
        ("08it", "8it"),
        ("0.00001ep", "0.00001ep"),
        ("33.3333333333%", "33.3333333333%"),
        ("999999999it", "999999999it"),
    ],
)
def test_durations_are_kept_in_a_spelling_that_is_read_again(written: str, kept: str) -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python(written) == kept
    assert adapter.validate_python(kept) == kept
    assert split_duration(kept) == split_duration(written)


@pytest.mark.parametrize("text", ["9999999999it", "9" * 400 + "ep", "1e3it", "-5ep", "5ep\n5ep"])
def test_what_no_training_lasts(text: str) -> None:
    with pytest.raises(ValueError, match="is not a training duration"):
        split_duration(text)


def test_clock_times_are_bounded_and_read_again() -> None:
    adapter = TypeAdapter(ClockTime)
    for text in ("10min", "0.00001s", "277777h"):
        kept = adapter.validate_python(text)
        assert adapter.validate_python(kept) == kept
        assert to_seconds(kept) == pytest.approx(to_seconds(text), rel=1e-9)
    for text in ("999999999h", "9" * 400 + "s"):
        with pytest.raises(ValueError, match=r"longer than 30 years|not a clock time"):
            to_seconds(text)


class Inner(Strict):
    kind: Literal["a"] = "a"
    rows: int = 1


class Settings(Strict):
    count: int = 1
    share: float | None = None
    listed: tuple[int, ...] = ()
    on: bool = False
    either: Literal[False, "before"] = False
    free: Any = None
    inner: Inner = Inner()


@pytest.mark.parametrize("name", ["count", "share", "listed", "inner"])
@pytest.mark.parametrize("value", [True, False])
def test_truth_is_no_number(name: str, value: bool) -> None:
    given: object = [value] if name == "listed" else {"rows": value} if name == "inner" else value
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: given})
    assert [error["type"] for error in caught.value.errors()] == ["truth"]
    location = caught.value.errors()[0]["loc"]
    assert location == (("inner", "rows") if name == "inner" else (name,))


def test_truth_where_it_means_something() -> None:
    found = Settings.model_validate({"on": True, "either": False, "free": [True], "listed": [1]})
    assert (found.on, found.either, found.free, found.listed) == (True, False, [True], (1,))
    assert RampSchedule(start="0it", end="1ep", every="1it", end_inclusive=False).start == "0it"


def test_an_error_of_a_suite_is_one_line_that_can_be_shown() -> None:
    shown = str(SuiteError("a\nb\r\nc\u2028d \x1b[2J \ud800 \x07 é 中"))
    assert shown == "a b c d \\x1b[2J \\ud800 \\x07 é 中"
    assert len(one_line("word " * 1000)) == 1000
    long = one_line(f"s.yaml:1: {'x' * 5000} is wrong")
    assert long.startswith("s.yaml:1: x")
    assert long.endswith("x is wrong")
    assert len(long) < 300
