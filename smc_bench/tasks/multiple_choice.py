"""Multiple choice: every choice is one sequence, the head gives each a score."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from smc_bench.tasks.base import Encoding, Feature, Head, Outputs, Row, Scores, Task
from smc_bench.tasks.metrics import percent
from smc_bench.tasks.rows import (
    bad_value,
    check_columns,
    is_integer,
    lists_of,
    logits_of_rows,
    shortened,
    text_of,
    texts_at,
    tokenized,
)

_GAP = re.compile("_+")


@dataclass(frozen=True)
class Question:
    """Pairs of texts, one a choice, and the index of the right one."""

    pairs: list[tuple[str, str]]
    answer: int


class MultipleChoice(Task):
    """Input form of each choice: ``[CLS] first [SEP] second [SEP]``, as ``question`` builds it."""

    head: Head = "multiple_choice"
    truncation: Literal["longest_first", "only_first"] = "longest_first"

    @abstractmethod
    def question(self, index: int, row: Row) -> Question:
        """The pairs of one row, checked."""

    def features(
        self, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
    ) -> list[Feature]:
        """One feature a row: a list of token lists, one a choice.

        Raises:
            CorruptDataError: A row lacks a column, choices or an answer; names row and column.
        """
        questions = [self._checked(index, row) for index, row in enumerate(rows)]
        first = [pair[0] for q in questions for pair in q.pairs]
        second = [pair[1] for q in questions for pair in q.pairs]
        if self.truncation == "only_first":
            # One token must be left of the first text, or the tokenizer fails.
            room = encoding.max_length - tokenizer.num_special_tokens_to_add(pair=True) - 1
            second = [shortened(text, tokenizer, room, keep_end=True) for text in second]
        inputs = tokenized(
            tokenizer, (first, second), truncation=self.truncation, max_length=encoding.max_length
        )
        features: list[Feature] = []
        for example, question in enumerate(questions):
            choices = list(islice(inputs, len(question.pairs)))
            ids = {key: [choice[key] for choice in choices] for key in choices[0]}
            features.append({**ids, "example": example, "label": question.answer})
        return features

    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """Accuracy in percent; predictions are indices of choices, from 0.

        Raises:
            DivergedError: Logits are not finite.
            ValueError: There are no rows.
        """
        logits = logits_of_rows(self.spec, rows, features, outputs)
        said = [int(np.argmax(found)) for found in logits]
        gold = [self._checked(index, row).answer for index, row in enumerate(rows)]
        correct = [float(a == b) for a, b in zip(said, gold, strict=True)]
        return Scores(percent(self.spec.metrics, said, gold), said, correct)

    def trivial(self, rows: Sequence[Row]) -> dict[str, float]:
        """A guess among the choices."""
        return {"accuracy": 100.0 / self.spec.labels}

    def check_row(self, index: int, row: Row) -> None:
        """As many choices as the task has, and an answer that is one of them."""
        self._checked(index, row)

    def _checked(self, index: int, row: Row) -> Question:
        check_columns(self.spec, index, row)
        question = self.question(index, row)
        if len(question.pairs) != self.spec.labels:
            wanted = f"{self.spec.labels} choices"
            raise bad_value(self.spec, index, "choices", len(question.pairs), wanted)
        return question


class CommonsenseQA(MultipleChoice):
    """``Q: question`` against ``A: choice``, the form of SMC-Bench's command (its README)."""

    def question(self, index: int, row: Row) -> Question:
        """Five choices; the answer is one of their labels."""
        asked = text_of(self.spec, index, row, "question")
        found = lists_of(self.spec, index, row, "choices", ("label", "text"))
        labels, texts = (
            texts_at(self.spec, index, f"choices.{key}", items)
            for key, items in zip(("label", "text"), found, strict=True)
        )
        if len(texts) != self.spec.labels:
            wanted = f"{self.spec.labels} choices"
            raise bad_value(self.spec, index, "choices.text", texts, wanted)
        if len(set(labels)) != len(labels):
            raise bad_value(self.spec, index, "choices.label", labels, "a list of distinct labels")
        if row["answerKey"] not in labels:
            wanted = f"one of {labels} (a split without labels?)"
            raise bad_value(self.spec, index, "answerKey", row["answerKey"], wanted)
        pairs = [(f"Q: {asked}", f"A: {text}") for text in texts]
        return Question(pairs, labels.index(row["answerKey"]))


class WinoGrande(MultipleChoice):
    """The text before the blank, against an option followed by the text after the blank.

    That is the form of arXiv 1907.10641's own code (github.com/allenai/winogrande,
    ``scripts/utils.py``); further blanks are filled as well. SMC-Bench compares language-model
    scores of the two options instead, so its WinoGrande numbers are of another set-up.
    """

    def question(self, index: int, row: Row) -> Question:
        """Two options; the answer is "1" or "2"."""
        sentence = text_of(self.spec, index, row, "sentence")
        before, blank, after = sentence.partition("_")
        if not blank:
            raise bad_value(self.spec, index, "sentence", sentence, "a text with a blank _")
        answer = row["answer"]
        if not (isinstance(answer, str) or is_integer(answer)) or str(answer) not in {"1", "2"}:
            wanted = '"1" or "2" (a split without labels?)'
            raise bad_value(self.spec, index, "answer", row["answer"], wanted)
        options = [text_of(self.spec, index, row, key) for key in ("option1", "option2")]
        pairs = [(before.rstrip(), f"{name}{after.replace('_', name)}") for name in options]
        return Question(pairs, int(row["answer"]) - 1)


class Race(MultipleChoice):
    """The article against question and option (filled into the gap where there is just one).

    Only the article is cut. Should question and option alone not fit (at a small ``max_length``),
    the beginning of the question goes, never the option.
    """

    truncation = "only_first"

    def question(self, index: int, row: Row) -> Question:
        """Four options; the answer is a letter."""
        letters = "ABCD"
        if row["answer"] not in tuple(letters):
            wanted = "a letter from A to D (a split without labels?)"
            raise bad_value(self.spec, index, "answer", row["answer"], wanted)
        options = texts_at(self.spec, index, "options", row["options"])
        if len(options) != self.spec.labels:
            raise bad_value(self.spec, index, "options", options, f"{self.spec.labels} options")
        asked = text_of(self.spec, index, row, "question")
        article = text_of(self.spec, index, row, "article")
        parts = _GAP.split(asked)
        pairs = []
        for option in options:
            filled = option.join(parts) if len(parts) == 2 else f"{asked} {option}"
            pairs.append((article, filled))
        return Question(pairs, letters.index(row["answer"]))
