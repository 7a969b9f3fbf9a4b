from __future__ import annotations

import numpy as np
import pytest

from smc_bench.errors import CorruptDataError
from smc_bench.tasks.base import Encoding
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.specs import SPECS
from tests.helpers.tokenizer import fixture_rows, wordpiece

CSQA = {
    "question": "Where do ships rest?",
    "choices": {"label": ["A", "B", "C", "D", "E"], "text": ["dock", "oven", "sky", "hat", "cup"]},
    "answerKey": "A",
}
WINO = {"sentence": "Ann met Bea as _ had called.", "option1": "Ann", "option2": "Bea"}
RACE = {
    "article": "ships rest in the dock at night",
    "question": "ships rest in the _ .",
    "options": ["oven", "dock", "sky", "cup"],
    "answer": "B",
}


@pytest.fixture(scope="module")
def tokenizer():
    words = "q a : ? . ; _ ' where do ships rest dock oven sky hat cup ann met bea as had called s"
    return wordpiece([words, "what do they want she is late in the dock at night when"])


def said(tokenizer, name: str, row: dict, length: int = 128) -> list[list[str]]:
    (feature,) = get_task(name).features([row], tokenizer, Encoding(length), train=True)
    return [" ".join(tokenizer.convert_ids_to_tokens(ids)) for ids in feature["input_ids"]]


def test_commonsense_qa_form(tokenizer) -> None:
    found = said(tokenizer, "commonsense_qa", CSQA)
    assert found[0] == "[CLS] q : where do ships rest ? [SEP] a : dock [SEP]"
    assert found[4] == "[CLS] q : where do ships rest ? [SEP] a : cup [SEP]"


def test_commonsense_qa_answer_is_found_by_its_label(tokenizer) -> None:
    labels = ["E", "D", "C", "B", "A"]
    row = {**CSQA, "choices": {**CSQA["choices"], "label": labels}, "answerKey": "B"}
    (feature,) = get_task("commonsense_qa").features([row], tokenizer, Encoding(64), train=True)
    assert feature["label"] == 3


def test_winogrande_form(tokenizer) -> None:
    assert said(tokenizer, "winogrande", {**WINO, "answer": "2"}) == [
        "[CLS] ann met bea as [SEP] ann had called . [SEP]",
        "[CLS] ann met bea as [SEP] bea had called . [SEP]",
    ]
    begins = {**WINO, "sentence": "_'s late; she met _.", "answer": "1"}
    found = said(tokenizer, "winogrande", begins)[1].split("[SEP]")
    assert found[0] == "[CLS] "
    assert found[1].count("bea") == 2


def test_race_form(tokenizer) -> None:
    article = "[CLS] ships rest in the dock at night [SEP]"
    assert said(tokenizer, "race", RACE)[1] == f"{article} ships rest in the dock . [SEP]"
    run = said(tokenizer, "race", {**RACE, "question": "ships rest in the ____ ."})
    assert run[1] == f"{article} ships rest in the dock . [SEP]"
    asked = said(tokenizer, "race", {**RACE, "question": "where do ships rest?"})
    assert asked[2] == f"{article} where do ships rest ? sky [SEP]"
    two = said(tokenizer, "race", {**RACE, "question": "_ rest in _ ?"})
    assert two[0] == f"{article} _ rest in _ ? oven [SEP]"


def test_race_cuts_only_the_article(tokenizer) -> None:
    found = said(tokenizer, "race", RACE, length=12)
    assert found[3] == "[CLS] ships rest in [SEP] ships rest in the cup . [SEP]"


def test_race_keeps_the_option_where_nothing_else_fits(tokenizer) -> None:
    row = {**RACE, "question": "what do they want when ships rest in the dock at night ?"}
    found = said(tokenizer, "race", row, length=9)
    assert found[3] == "[CLS] ships [SEP] dock at night ? cup [SEP]"
    assert all(len(choice.split()) == 9 for choice in found)


@pytest.mark.parametrize("length", [12, 20, 33, 64])
def test_race_is_never_too_long(length: int) -> None:
    rows = fixture_rows(SPECS["race"], "train")
    small = wordpiece([row["article"] for row in rows])
    for feature in get_task("race").features(rows, small, Encoding(length), train=True):
        assert max(map(len, feature["input_ids"])) <= length


def test_accuracy_by_hand() -> None:
    rows = [{**RACE, "answer": a} for a in "ABCD"]
    outputs = [(np.array(x, dtype=np.float32),) for x in np.eye(4)[[0, 1, 3, 3]]]
    scores = get_task("race").score(rows, [{"example": i} for i in range(4)], outputs)
    assert scores.metrics == {"accuracy": 75.0}
    assert scores.predictions == [0, 1, 3, 3]
    assert scores.correct == [1.0, 1.0, 0.0, 1.0]
    assert get_task("race").trivial(rows) == {"accuracy": 25.0}


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("commonsense_qa", {**CSQA, "answerKey": ""}, "answerKey"),
        ("commonsense_qa", {**CSQA, "choices": ["dock", "oven"]}, "choices"),
        ("commonsense_qa", {**CSQA, "choices": {"label": ["A"], "text": ["dock"]}}, "choices"),
        ("commonsense_qa", {**CSQA, "question": None}, "question"),
        ("winogrande", {**WINO, "answer": ""}, "answer"),
        ("winogrande", {**WINO, "answer": "1", "sentence": "No gap."}, "sentence"),
        ("winogrande", {**WINO, "answer": "1", "option2": None}, "option2"),
        ("race", {**RACE, "answer": "AB"}, "answer"),
        ("race", {**RACE, "options": ["oven", "dock"]}, "options"),
        ("race", {**RACE, "options": "ABCD"}, "options"),
        ("race", {**RACE, "article": 3}, "article"),
    ],
)
def test_bad_rows_are_named(name: str, row: dict, column: str, tokenizer) -> None:
    with pytest.raises(CorruptDataError, match=rf"{name}: row 0, '{column}'"):
        get_task(name).features([row], tokenizer, Encoding(64), train=False)
