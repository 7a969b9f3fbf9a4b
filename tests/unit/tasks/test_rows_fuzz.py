"""Any damage to a row is named by row and column; what is still a good row passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.errors import CorruptDataError
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.specs import SPECS
from tests.helpers.tokenizer import fixture_rows

# None of these is a text, a label, an answer or a list of them in any task.
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=True).filter(lambda x: not x >= 0),
    st.just(float("nan")),
    st.integers(max_value=-1),
    st.binary(max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.lists(st.none(), min_size=1, max_size=3),
    st.sampled_from(["\ud83d", "half \udc00 of a pair"]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places inside a value, the deepest too."""
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return found + [deep for key, item in items for deep in places(item, (*path, key))]


def damaged(row: dict[str, Any], path: tuple[Any, ...], junk: Any) -> dict[str, Any]:
    row = copy.deepcopy(row)
    at: Any = row
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    return row


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_damage_is_named_by_row_and_column(spec: Any, data: st.DataObject) -> None:
    rows = fixture_rows(spec, spec.train_split)
    at = data.draw(st.integers(0, len(rows) - 1))
    inside = {column: rows[at][column] for column in spec.columns}
    path = data.draw(st.sampled_from(places(inside)))
    rows[at] = damaged(rows[at], path, data.draw(JUNK))
    with pytest.raises(CorruptDataError, match=rf"^{spec.name}: row {at}, '{path[0]}'") as caught:
        get_task(spec.name).check(rows)
    str(caught.value).encode()  # can be shown, whatever the row holds


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_good_rows_pass(spec: Any) -> None:
    for split in (spec.train_split, *(s.name for s in spec.eval_splits)):
        get_task(spec.name).check(fixture_rows(spec, split))


CASES: list[tuple[str, str, Any, str]] = [
    ("sst2", "label", 1.0, r"'label': 1\.0 is not a class from 0 to 1"),
    ("sst2", "label", True, "'label': True is not"),
    ("sst2", "label", "1", "'label': '1' is not"),
    ("sst2", "label", 2, "'label': 2 is not"),
    ("sst2", "label", -1, "a split without labels"),
    ("mnli", "label", 3, "'label': 3 is not a class from 0 to 2"),
    ("stsb", "label", "4.5", "'label': '4.5' is not"),
    ("stsb", "label", float("nan"), "'label': nan is not"),
    ("winogrande", "answer", True, "'answer': True is not"),
    ("winogrande", "answer", 1.0, r"'answer': 1\.0 is not"),
    ("winogrande", "option2", None, "'option2': None is not a text"),
    ("race", "options", ["a", "b", None, "d"], r"'options'\[2\]: None is not a text"),
    ("race", "options", "abcd", "'options': 'abcd' is not a list"),
    ("race", "options", ["a", "b", "c"], "is not 4 options"),
    ("race", "answer", "E", "'answer': 'E' is not"),
    (
        "commonsense_qa",
        "choices",
        {"label": list("ABCDE"), "text": ["a", "b", "c", None, "e"]},
        r"'choices'\.text\[3\]: None is not a text",
    ),
    (
        "commonsense_qa",
        "choices",
        {"label": list("ABCD"), "text": list("abcde")},
        "lists of one length .label and text: 4 and 5.",
    ),
    (
        "commonsense_qa",
        "choices",
        {"label": list("AACDE"), "text": list("abcde")},
        r"'choices'\.label: .* distinct labels",
    ),
    ("commonsense_qa", "choices", {"label": [], "text": []}, "is not 5 choices"),
    ("commonsense_qa", "choices", {"text": list("abcde")}, "a pair of lists, label and text"),
    ("commonsense_qa", "answerKey", "", "a split without labels"),
    ("squad", "id", 7, "'id': 7 is not a text"),
    ("squad", "answers", {"text": [], "answer_start": []}, "a split without labels"),
    ("squad", "answers", {"text": ["x"], "answer_start": []}, "lists of one length"),
    ("squad", "answers", {"text": ["no such text"], "answer_start": [0]}, r"'answers'\.text\[0\]"),
    ("squad", "answers", {"text": ["x"], "answer_start": ["0"]}, r"\.answer_start\[0\]: '0' is no"),
]


@pytest.mark.parametrize(("name", "column", "value", "said"), CASES)
def test_values_that_look_nearly_right(name: str, column: str, value: Any, said: str) -> None:
    rows = fixture_rows(SPECS[name], SPECS[name].train_split)
    rows[3][column] = value
    with pytest.raises(CorruptDataError, match=rf"^{name}: row 3, '{column}'") as caught:
        get_task(name).check(rows)
    caught.match(said)


@pytest.mark.parametrize("start", [13.0, True, None, "13"])
def test_answers_begin_at_an_integer(start: Any) -> None:
    rows = fixture_rows(SPECS["squad"], "train")
    rows[2]["answers"]["answer_start"][0] = start
    with pytest.raises(CorruptDataError, match=r"row 2, 'answers'\.answer_start\[0\]: .* integer"):
        get_task("squad").check(rows)


def test_a_question_twice_is_named() -> None:
    rows = fixture_rows(SPECS["squad"], "train")
    rows[4]["id"] = rows[1]["id"]
    with pytest.raises(CorruptDataError, match=r"row 4, 'id': .* row 1 has it too"):
        get_task("squad").check(rows)
