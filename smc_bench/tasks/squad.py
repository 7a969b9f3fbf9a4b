"""SQuAD v1.1: windows over long contexts, start and end positions, n-best post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smc_bench.errors import SmcBenchError
from smc_bench.tasks.base import Encoding, Feature, Head, Outputs, Row, Scores, Task
from smc_bench.tasks.metrics import best_f1, squad
from smc_bench.tasks.rows import (
    bad_value,
    check_columns,
    check_finite,
    is_integer,
    lists_of,
    shortened,
    text_of,
    texts_at,
)

# As in transformers' question-answering example and the oBERT scripts built on it.
N_BEST = 20
MAX_ANSWER_TOKENS = 30
# What run_qa answers where no candidate of any window is a span of the context.
NO_SPAN = "empty"

Offsets = Sequence[tuple[int, int] | None]
"""Characters (from, to) in the context of each token of a window; None for all other tokens."""

_CHUNK = 500


class Squad(Task):
    """Input form: ``[CLS] question [SEP] window of the context [SEP]``.

    Neighbouring windows share ``stride`` context tokens. A question keeps at most half of the
    tokens that remain beside them, so that every window brings something new (at 384 and 128 that
    is 126 tokens, more than any question of v1.1 has).
    """

    head: Head = "question_answering"

    def features(
        self, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
    ) -> list[Feature]:
        """One feature a window.

        For training it has the targets ``start`` and ``end`` (tokens of the first gold answer;
        0 and 0 where that is not whole in the window), else ``offsets`` (:data:`Offsets`).

        Raises:
            CorruptDataError: A row lacks a column or a usable answer; names row and column.
            SmcBenchError: The stride leaves no room in windows of this length.
        """
        for index, row in enumerate(rows):
            self.check_row(index, row)
        room = encoding.max_length - tokenizer.num_special_tokens_to_add(pair=True)
        limit = (room - encoding.stride) // 2
        if limit < 1:
            raise SmcBenchError(
                f"{self.spec.name}: windows of {encoding.max_length} tokens that share "
                f"{encoding.stride} are too short; raise max_length or lower stride"
            )
        features: list[Feature] = []
        for at in range(0, len(rows), _CHUNK):
            part = rows[at : at + _CHUNK]
            encoded = tokenizer(
                [shortened(row["question"].strip(), tokenizer, limit) for row in part],
                [row["context"] for row in part],
                truncation="only_second",
                max_length=encoding.max_length,
                stride=encoding.stride,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
            features += _windows(encoded, part, at, train=train)
        return features

    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """Official exact match and F1; ``correct`` holds the F1 of each question, 0..1.

        Raises:
            DivergedError: Outputs are not finite.
            ValueError: There are no rows, or the features were made for training.
        """
        best: list[tuple[float, str]] = [(float("-inf"), NO_SPAN)] * len(rows)
        for feature, (start, end) in zip(features, outputs, strict=True):
            if "offsets" not in feature:
                raise ValueError("features made for training can't be scored: they lack offsets")
            example = feature["example"]
            check_finite(self.spec, example, (start, end))
            found = best_span(start, end, feature["offsets"])
            if found is not None and found[0] > best[example][0]:
                best[example] = (found[0], rows[example]["context"][found[1] : found[2]])
        said = [text for _, text in best]
        golds = [list(row["answers"]["text"]) for row in rows]
        metrics = squad(said, golds)
        correct = [best_f1(text, gold) for text, gold in zip(said, golds, strict=True)]
        return Scores({key: metrics[key] for key in self.spec.metrics}, said, correct)

    def trivial(self, rows: Sequence[Row]) -> dict[str, float]:
        """No answer at all."""
        return dict.fromkeys(self.spec.metrics, 0.0)

    def check(self, rows: Sequence[Row]) -> None:
        """Every row by itself, and no question twice.

        Raises:
            CorruptDataError: Naming row and column.
        """
        super().check(rows)
        first: dict[str, int] = {}
        for index, row in enumerate(rows):
            other = first.setdefault(row["id"], index)
            if other != index:
                wanted = f"an id of its own: row {other} has it too"
                raise bad_value(self.spec, index, "id", row["id"], wanted)

    def check_row(self, index: int, row: Row) -> None:
        """Texts, and answers that the context has where they are said to begin."""
        check_columns(self.spec, index, row)
        for column in ("id", "question"):
            text_of(self.spec, index, row, column)
        context = text_of(self.spec, index, row, "context")
        texts, starts = lists_of(self.spec, index, row, "answers", ("text", "answer_start"))
        texts_at(self.spec, index, "answers.text", texts)
        if not texts:
            wanted = "a list with an answer (a split without labels?)"
            raise bad_value(self.spec, index, "answers", row["answers"], wanted)
        for i, (text, start) in enumerate(zip(texts, starts, strict=True)):
            if not is_integer(start):
                raise bad_value(self.spec, index, f"answers.answer_start[{i}]", start, "an integer")
            if _place(context, text, start) is None:
                wanted = f"what the context has from character {start}"
                raise bad_value(self.spec, index, f"answers.text[{i}]", text, wanted)


def best_span(
    start: NDArray[Any], end: NDArray[Any], offsets: Offsets
) -> tuple[float, int, int] | None:
    """Score and characters of the best span of a window, or None if no candidate is a span.

    As transformers' run_qa does for v1.1 (``postprocess_qa_predictions``): candidates are all
    pairs of the ``N_BEST`` likeliest starts and ends of the whole window, question and special
    tokens included; of those, pairs inside the context that are in order and at most
    ``MAX_ANSWER_TOKENS`` long; the score is the sum of both logits in their own precision. Of equal
    logits the later position comes first, of equal scores the pair that comes first. (run_qa also
    ranks padding; here there is none.)

    Args:
        start: Start logits, (tokens,).
        end: End logits, (tokens,).
        offsets: Characters of each token, (tokens,).
    """
    starts = np.argsort(start, kind="stable")[::-1][:N_BEST]
    ends = np.argsort(end, kind="stable")[::-1][:N_BEST]
    inside = np.array([span is not None for span in offsets], dtype=bool)
    ahead = ends[None, :] - starts[:, None]
    allowed = (ahead >= 0) & (ahead < MAX_ANSWER_TOKENS)
    allowed &= inside[starts][:, None] & inside[ends][None, :]
    if not allowed.any():
        return None
    totals = np.where(allowed, start[starts][:, None] + end[ends][None, :], -np.inf)
    row, column = divmod(int(totals.argmax()), len(ends))
    first, last = offsets[starts[row]], offsets[ends[column]]
    if first is None or last is None:
        return None
    return float(totals[row, column]), first[0], last[1]


def _windows(encoded: Any, rows: Sequence[Row], at: int, *, train: bool) -> list[Feature]:
    keys = [key for key in ("input_ids", "token_type_ids") if key in encoded]
    features: list[Feature] = []
    for i, local in enumerate(encoded["overflow_to_sample_mapping"]):
        spans, parts = encoded["offset_mapping"][i], encoded.sequence_ids(i)
        offsets = [s if part == 1 else None for s, part in zip(spans, parts, strict=True)]
        feature: Feature = {key: encoded[key][i] for key in keys}
        feature["example"] = at + local
        if train:
            feature["start"], feature["end"] = _target(rows[local], offsets)
        else:
            feature["offsets"] = offsets
        features.append(feature)
    return features


def _place(context: str, text: str, start: int) -> int | None:
    # Published offsets are known to be off by a character or two at times (documentation of
    # transformers on fine-tuning with SQuAD); anything further is another text.
    for at in (start, start - 1, start + 1, start - 2, start + 2):
        if text and at >= 0 and context.startswith(text, at):
            return at
    return None


def _target(row: Row, offsets: Offsets) -> tuple[int, int]:
    text = row["answers"]["text"][0]
    begin = _place(row["context"], text, row["answers"]["answer_start"][0])
    inside = [(i, *span) for i, span in enumerate(offsets) if span is not None]
    if begin is None or not inside:
        return 0, 0
    stop = begin + len(text)
    if inside[0][1] > begin or inside[-1][2] < stop:
        return 0, 0
    start = max(i for i, low, _ in inside if low <= begin)
    end = min(i for i, _, high in inside if high >= stop)
    return start, max(start, end)
