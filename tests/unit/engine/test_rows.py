"""Which rows a cell works on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smc_bench.engine.inputs import CellInputs, chosen_rows


def rows(count: int) -> list[dict[str, Any]]:
    return [{"idx": i} for i in range(count)]


def chosen(count: int, limit: int | None) -> list[int]:
    return [row["idx"] for row in chosen_rows(rows(count), limit)]


@given(st.integers(1, 300), st.data())
def test_a_smaller_choice_is_part_of_every_larger_one(count: int, data: Any) -> None:
    small, large = sorted(data.draw(st.lists(st.integers(1, 310), min_size=2, max_size=2)))
    few, many = chosen(count, small), chosen(count, large)
    assert len(few) == min(small, count)
    assert len(many) == min(large, count)
    assert few == sorted(set(few))
    assert set(few) <= set(many)
    assert chosen(count, None) == list(range(count))


def test_students_train_on_rows_that_their_teacher_saw() -> None:
    """The numbers of the laptop profiles of two suites: 4000 and 8000 of SST-2's 67349."""
    student, teacher = set(chosen(67349, 4000)), set(chosen(67349, 8000))
    assert (len(student), len(teacher)) == (4000, 8000)
    assert student < teacher
    # Spread over the whole file: each eighth of it has its share, within five standard deviations.
    parts = [sum(i * 8 // 67349 == part for i in student) for part in range(8)]
    assert all(abs(found - 500) < 5 * (4000 * (1 / 8) * (7 / 8)) ** 0.5 for found in parts)


class Shared:
    """Takes down the keys under which things are made for all cells."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []

    def rows(self, split: str) -> list[dict[str, Any]]:
        return rows(20)

    def shared(self, kind: str, split: str, key: dict[str, Any], make: Any) -> Any:
        self.keys.append(key)
        raise LookupError


def test_the_key_of_features_tells_how_rows_were_chosen() -> None:
    """Those of the former choice (anew for each limit) must not be taken for these."""
    context = Shared()
    inputs = object.__new__(CellInputs)
    inputs.context = context  # type: ignore[assignment]
    inputs.settings = SimpleNamespace(name="sst2", train_split="train", held_back=None)
    inputs.recipe = SimpleNamespace(train=SimpleNamespace(rows=5))  # type: ignore[assignment]
    inputs.encoding = SimpleNamespace(max_length=16, stride=0)  # type: ignore[assignment]
    inputs.task = SimpleNamespace(features=None)  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smc_bench.engine.inputs.task_code", lambda task: "code")
        with pytest.raises(LookupError):
            inputs.training()
    assert context.keys[0]["choice"] == 2
    assert context.keys[0]["limit"] == 5
