from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.errors import CorruptDataError, SmcBenchError
from smc_bench.tasks.base import Encoding
from smc_bench.tasks.metrics import squad
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.specs import SPECS
from smc_bench.tasks.squad import MAX_ANSWER_TOKENS, best_span
from tests.helpers.tokenizer import fixture_rows, wordpiece

TASK = get_task("squad")
ROWS = fixture_rows(SPECS["squad"], "validation")
CONTEXT = "the cat sat on the red mat and the dog ran home to eat a bone"


@pytest.fixture(scope="module")
def tokenizer():
    return wordpiece([CONTEXT, "where did who", *(r["context"] for r in ROWS)])


def row(text: str, question: str = "where did the cat", context: str = CONTEXT) -> dict:
    answers = {"text": [text], "answer_start": [context.index(text)]}
    return {"id": "1", "context": context, "question": question, "answers": answers}


def peak(length: int, at: int | None, height: float) -> np.ndarray:
    found = np.zeros(length, dtype=np.float32)
    if at is not None:
        found[at] = height
    return found


def windows(tokenizer, one: dict, length: int, stride: int, *, train: bool) -> list:
    return TASK.features([one], tokenizer, Encoding(length, stride), train=train)


def test_windows_share_the_stride_and_cover_the_context(tokenizer) -> None:
    found = windows(tokenizer, row("mat"), 15, 3, train=False)  # 8 context tokens a window
    words = [" ".join(CONTEXT[a:b] for a, b in filter(None, f["offsets"])) for f in found]
    assert words == [
        "the cat sat on the red mat and",
        "red mat and the dog ran home to",
        "ran home to eat a bone",
    ]
    assert all(f["offsets"][:6] == [None] * 6 and f["offsets"][-1] is None for f in found)
    assert all(len(f["offsets"]) == len(f["input_ids"]) for f in found)


def test_targets_by_hand(tokenizer) -> None:
    # [CLS] where did the cat [SEP]: the context begins at token 6.
    spans = lambda text: [  # noqa: E731
        (f["start"], f["end"]) for f in windows(tokenizer, row(text), 15, 3, train=True)
    ]
    assert spans("red mat") == [(11, 12), (6, 7), (0, 0)]
    assert spans("to eat") == [(0, 0), (0, 0), (8, 9)]  # the second window ends in "to"
    assert spans("the") == [(6, 6), (0, 0), (0, 0)]
    assert "offsets" not in windows(tokenizer, row("red"), 15, 3, train=True)[0]
    assert "start" not in windows(tokenizer, row("red"), 15, 3, train=False)[0]


def test_target_inside_a_token_is_the_whole_token(tokenizer) -> None:
    (one,) = windows(tokenizer, row("a", context="the cat sat"), 32, 0, train=True)
    assert (one["start"], one["end"]) == (7, 7)


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_offsets_off_by_two_are_mended(shift: int, tokenizer) -> None:
    one = row("red mat")
    one["answers"]["answer_start"][0] += shift
    assert windows(tokenizer, one, 64, 0, train=True)[0]["start"] == 11


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["mat"], "answer_start": [0]},
        {"text": ["mat"], "answer_start": [400]},
        {"text": ["nowhere"], "answer_start": [3]},
        {"text": [""], "answer_start": [3]},
        {"text": ["mat", "red"], "answer_start": [23]},
        {"text": [], "answer_start": []},
        {"text": ["mat"]},
        None,
    ],
)
def test_bad_answers_are_named(answers, tokenizer) -> None:
    rows = [row("cat"), {**row("cat"), "answers": answers}]
    with pytest.raises(CorruptDataError, match=r"squad: row 1, 'answers'"):
        TASK.features(rows, tokenizer, Encoding(64, 8), train=False)


def test_question_is_stripped_and_leaves_room(tokenizer) -> None:
    plain = windows(tokenizer, row("mat"), 32, 4, train=False)
    assert windows(tokenizer, row("mat", "  where did the cat "), 32, 4, train=False) == plain
    long = windows(tokenizer, row("mat", "where did the cat " * 40), 21, 8, train=False)
    for feature in long:
        assert len(feature["input_ids"]) <= 21
        assert feature["token_type_ids"].index(1) == 7  # [CLS], (21 - 3 - 8) // 2 tokens, [SEP]
    seen = {span for feature in long for span in feature["offsets"] if span}
    assert len(seen) == len(CONTEXT.split())


@pytest.mark.parametrize(("length", "stride"), [(8, 4), (16, 16), (64, 128)])
def test_too_wide_a_stride_is_refused(length: int, stride: int, tokenizer) -> None:
    with pytest.raises(SmcBenchError, match=f"{length} tokens that share {stride}"):
        windows(tokenizer, row("mat"), length, stride, train=True)


def test_the_best_of_all_windows_is_taken(tokenizer) -> None:
    one = row("red mat")
    features = windows(tokenizer, one, 15, 3, train=False)
    sizes = [len(f["input_ids"]) for f in features]
    outputs = [
        (peak(sizes[0], 7, 3.0), peak(sizes[0], 8, 3.0)),  # cat sat
        (peak(sizes[1], 6, 4.0), peak(sizes[1], 7, 4.0)),  # red mat
        (peak(sizes[2], 1, 9.0), peak(sizes[2], 2, 9.0)),  # the question: not an answer
    ]
    scores = TASK.score([one], features, outputs)
    assert scores.predictions == ["red mat"]
    assert scores.metrics == {"f1": 100.0, "exact_match": 100.0}
    scores = TASK.score([one], features[:1], outputs[:1])
    assert scores.predictions == ["cat sat"]
    assert scores.metrics == {"f1": 0.0, "exact_match": 0.0}


def test_several_answers_by_hand(tokenizer) -> None:
    one = row("red mat")
    one["answers"] = {"text": ["mat", "the red mat", "red mat"], "answer_start": [23, 15, 19]}
    (feature,) = windows(tokenizer, one, 64, 0, train=False)
    size = len(feature["input_ids"])
    ends_early = [(peak(size, 10, 2.0), peak(size, 11, 2.0))]  # "the red": red of (red, mat)
    scores = TASK.score([one], [feature], ends_early)
    assert scores.predictions == ["the red"]
    assert scores.metrics == {"f1": pytest.approx(200 / 3), "exact_match": 0.0}
    assert scores.correct == [pytest.approx(2 / 3)]


def test_features_for_training_are_not_scored(tokenizer) -> None:
    features = windows(tokenizer, row("mat"), 64, 0, train=True)
    size = len(features[0]["input_ids"])
    with pytest.raises(ValueError, match="offsets"):
        TASK.score([row("mat")], features, [(np.zeros(size, np.float32),) * 2])


def postprocessed(windows_: list, context: str, n_best: int = 20, longest: int = 30) -> str:
    """The answer to one question, restated from run_qa's postprocess_qa_predictions for v1.1.

    Args:
        windows_: For each window its start logits, end logits and offsets.
        context: The text that offsets are of.
        n_best: Likeliest starts and ends that are looked at.
        longest: Tokens of the longest answer.
    """

    def likeliest(logits: np.ndarray) -> list[int]:
        return [int(i) for i in np.argsort(logits, kind="stable")[-1 : -n_best - 1 : -1]]

    candidates = []
    for start, end, offsets in windows_:
        for a in likeliest(start):
            for b in likeliest(end):
                if a >= len(offsets) or b >= len(offsets):
                    continue
                if offsets[a] is None or offsets[b] is None:
                    continue
                if b < a or b - a + 1 > longest:
                    continue
                candidates.append((start[a] + end[b], offsets[a][0], offsets[b][1]))
    candidates = sorted(candidates, key=lambda found: found[0], reverse=True)[:n_best]
    return context[candidates[0][1] : candidates[0][2]] if candidates else "empty"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 40), st.integers(1, 3),
       st.sampled_from([None, 1, 3, 0]))  # fmt: skip
def test_answers_are_those_of_run_qa(
    seed: int, context: int, before: int, count: int, digits: int | None
) -> None:
    """Several windows, questions longer than the n best, ties (logits of few digits), no span."""
    rng = np.random.default_rng(seed)
    text = "".join(map(str, rng.integers(0, 10, size=3 * 70)))
    one = {"id": "1", "context": text, "question": "q", "answers": {"text": [text[:2]]}}
    made, outputs = [], []
    for _ in range(count):
        shift = int(rng.integers(0, 10))
        offsets = [(3 * (i + shift), 3 * (i + shift) + 2) for i in range(context)]
        offsets = [None] * before + offsets + [None]
        start, end = rng.normal(size=(2, len(offsets))).astype(np.float32)
        if digits is not None:
            start, end = np.round(start, digits), np.round(end, digits)
        outputs.append((start, end))
        made.append({"example": 0, "offsets": offsets})
    expected = postprocessed([(*o, f["offsets"]) for o, f in zip(outputs, made, strict=True)], text)
    assert TASK.score([one], made, outputs).predictions == [expected]


def test_question_tokens_count_among_the_n_best() -> None:
    """run_qa ranks all positions and then leaves out what is no span of the context."""
    offsets = [None] * 19 + [(0, 2), (3, 5)]
    start = np.array([9.0] * 19 + [0.0, 1.0], dtype=np.float32)
    assert best_span(start, start, offsets) == (2.0, 3, 5)
    assert best_span(np.r_[start[:1], start], np.r_[start[:1], start], [None, *offsets]) is None


def test_longest_answer() -> None:
    offsets = [(i, i + 1) for i in range(40)]
    for last, allowed in ((29, True), (30, False)):
        found = best_span(peak(40, 0, 9.0), peak(40, last, 9.0), offsets)
        assert found is not None
        assert (found[1:] == (0, last + 1)) is allowed
    assert MAX_ANSWER_TOKENS == 30


def test_no_span_at_all() -> None:
    assert best_span(np.zeros(3), np.zeros(3), [None] * 3) is None
    # The 20 likeliest ends all lie before the 20 likeliest starts.
    ramp = np.arange(60.0)
    assert best_span(ramp, -ramp, [(i, i + 1) for i in range(60)]) is None


def real_rows() -> list[dict]:
    root = os.environ.get("SMC_BENCH_DATA_ROOT")
    path = Path(root or "") / "squad/plain_text/validation.jsonl.gz"
    if not root or not path.is_file():
        pytest.skip("SMC_BENCH_DATA_ROOT has no squad/plain_text/validation.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_real_gold_answers_have_exact_match_100() -> None:
    golds = [r["answers"]["text"] for r in real_rows()]
    assert squad([g[0] for g in golds], golds) == {"exact_match": 100.0, "f1": 100.0}


def test_real_answers_survive_windows_and_post_processing() -> None:
    rows = []
    for r in real_rows()[::25]:
        text, at = r["answers"]["text"][0], r["answers"]["answer_start"][0]
        edges = r["context"][at - 1 : at + 1], r["context"][at + len(text) - 1 :][:2]
        # Whole tokens can't say an answer that ends inside a word, nor 30 of them a longer one.
        if not any(re.fullmatch(r"\w\w", edge) for edge in edges) and len(text) <= 30:
            rows.append(r)
    small = wordpiece(r["context"] for r in rows)
    targets = TASK.features(rows, small, Encoding(160, 64), train=True)
    features = TASK.features(rows, small, Encoding(160, 64), train=False)
    outputs = []
    for target in targets:
        size, height = len(target["input_ids"]), 9.0 if target["start"] else -1.0
        outputs.append((peak(size, target["start"], height), peak(size, target["end"], height)))
    assert len(rows) > 300
    assert len(features) > len(rows)
    assert TASK.score(rows, features, outputs).metrics["exact_match"] == 100.0
