"""SQuAD's questions as prompts, and what is scored of the answers that are written."""

from __future__ import annotations

import numpy as np
import pytest

from smc_bench.errors import CorruptDataError, SmcBenchError
from smc_bench.tasks.base import Encoding
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.trial import try_task
from tests.helpers.tokenizer import fixture_rows, wordpiece

TASK = get_task("squad_writing")
ROWS = fixture_rows(TASK.spec, "train")


@pytest.fixture(scope="module")
def tokenizer():
    found = wordpiece([f"context : question : answer : {row}" for row in ROWS])
    found.eos_token = "[SEP]"
    return found


def words(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True)


def test_the_answer_alone_is_trained_and_is_not_shown(tokenizer) -> None:
    for train in (True, False):
        features = TASK.features(ROWS, tokenizer, Encoding(400), train=train)
        assert [f["example"] for f in features] == list(range(len(ROWS)))
        for row, feature in zip(ROWS, features, strict=True):
            at = feature["scored_from"]
            assert at == feature["read"]
            prompt = f"context: {row['context']} question: {row['question']} answer:"
            assert feature["input_ids"][:at] == tokenizer(prompt)["input_ids"]
            answer = feature["input_ids"][at:]
            if train:
                assert answer[-1] == tokenizer.eos_token_id
                gold = tokenizer(row["answers"]["text"][0], add_special_tokens=False)["input_ids"]
                assert answer[:-1] == gold[:29]
            else:
                assert answer == []


@pytest.mark.parametrize("length", [72, 80, 96])
def test_long_contexts_lose_their_end_and_never_the_question(length: int, tokenizer) -> None:
    features = TASK.features(ROWS, tokenizer, Encoding(length), train=True)
    for row, feature in zip(ROWS, features, strict=True):
        assert len(feature["input_ids"]) <= length
        prompt = words(tokenizer, feature["input_ids"][: feature["read"]])
        assert prompt.endswith("answer :")
        whole = words(tokenizer, tokenizer(row["context"])["input_ids"])
        shown = prompt.split("context : ", 1)[1].rsplit(" question :", 1)[0]
        assert whole.startswith(shown)


def test_no_room_and_no_end_are_errors(tokenizer) -> None:
    with pytest.raises(SmcBenchError, match=r"leave no room for a context: raise max_length"):
        TASK.features(ROWS, tokenizer, Encoding(34), train=True)
    endless = wordpiece(["a"])
    with pytest.raises(SmcBenchError, match="no token that ends texts"):
        TASK.features(ROWS, endless, Encoding(400), train=True)


def test_scores_are_those_of_squad() -> None:
    """Exact match after normalisation, F1 by words, each against the best gold answer."""
    golds = [["the red boat", "boat"], ["1932"], ["Oslo"]]
    rows = [{"answers": {"text": gold, "answer_start": [0] * len(gold)}} for gold in golds]
    said = ["The Red, Boat!", "in 1932", ""]
    features = [{"example": i} for i in (2, 0, 1)]
    outputs = [(np.array([said[f["example"]]]),) for f in features]
    scores = TASK.score(rows, features, outputs)
    assert scores.metrics == pytest.approx({"exact_match": 100 / 3, "f1": 100 * (1 + 2 / 3) / 3})
    assert scores.correct == pytest.approx([1.0, 2 / 3, 0.0])
    assert scores.predictions == said


def test_a_wrong_row_is_named(tokenizer) -> None:
    rows = [dict(row) for row in ROWS]
    rows[2]["answers"] = {"text": ["not in the context"], "answer_start": [3]}
    with pytest.raises(CorruptDataError, match=r"row 2, 'answers'"):
        TASK.features(rows, tokenizer, Encoding(400), train=False)


@pytest.mark.parametrize("train", [True, False])
def test_it_passes_its_own_trial(train: bool, tokenizer) -> None:
    assert try_task(TASK, ROWS, tokenizer, Encoding(400), train=train)
