"""SQuAD v1.1 as writing: a language model reads context and question and writes the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smc_bench.errors import SmcBenchError
from smc_bench.tasks.base import Encoding, Feature, Head, Outputs, Row, Scores
from smc_bench.tasks.metrics import best_f1, squad
from smc_bench.tasks.rows import shortened
from smc_bench.tasks.squad import MAX_ANSWER_TOKENS, Squad


class AnswerWriting(Squad):
    """Input form: ``context: … question: … answer:``, then the answer and the end of the text.

    The loss is over the answer's tokens and the end alone (the first gold answer). Answers are
    written greedily: up to ``new_tokens`` tokens, the end of the text, or a line break. A context
    is cut at its end so that prompt and answer have ``max_length`` tokens at most.
    """

    head: Head = "language_modelling"
    new_tokens = MAX_ANSWER_TOKENS

    def features(
        self, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
    ) -> list[Feature]:
        """One feature a question: its prompt, for training with the answer behind it.

        Raises:
            CorruptDataError: A row lacks a column or a usable answer; names row and column.
            SmcBenchError: The tokenizer has no token that ends texts, or there is no room.
        """
        for index, row in enumerate(rows):
            self.check_row(index, row)
        if tokenizer.eos_token_id is None:
            raise SmcBenchError(
                f"{self.spec.name}: the model's tokenizer has no token that ends texts: name "
                "eos_token in tokenizer_config.json"
            )
        found: list[Feature] = []
        for index, row in enumerate(rows):
            ids = self._prompt(row, tokenizer, encoding.max_length - self.new_tokens)
            at = len(ids)
            if train:
                ids = [*ids, *_answer(row, tokenizer, self.new_tokens - 1), tokenizer.eos_token_id]
            found.append({"input_ids": ids, "example": index, "scored_from": at, "read": at})
        return found

    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """Official exact match and F1 of the written texts; ``correct`` holds each one's F1, 0..1.

        Raises:
            ValueError: There are no rows, or one has no text.
        """
        said: dict[int, str] = {
            feature["example"]: str(texts[0])
            for feature, (texts,) in zip(features, outputs, strict=True)
        }
        if sorted(said) != list(range(len(rows))):
            raise ValueError(f"{self.spec.name}: texts for {len(said)} of {len(rows)} rows")
        texts = [said[index] for index in range(len(rows))]
        golds = [list(row["answers"]["text"]) for row in rows]
        metrics = squad(texts, golds)
        correct = [best_f1(text, gold) for text, gold in zip(texts, golds, strict=True)]
        return Scores({key: metrics[key] for key in self.spec.metrics}, texts, correct)

    def _prompt(self, row: Row, tokenizer: Any, limit: int) -> list[int]:
        """Tokens of a prompt, at most ``limit``."""
        question = shortened(row["question"].strip(), tokenizer, max(1, limit // 2))
        room = limit - len(tokenizer(_text("", question))["input_ids"])
        while room > 0:
            context = shortened(row["context"].strip(), tokenizer, room)
            ids = list(tokenizer(_text(context, question), verbose=False)["input_ids"])
            if len(ids) <= limit:
                return ids
            room -= len(ids) - limit  # where texts meet, tokens can be others
        raise SmcBenchError(
            f"{self.spec.name}: prompts of {limit} tokens (max_length without {self.new_tokens} "
            "for the answer) leave no room for a context: raise max_length"
        )


def _text(context: str, question: str) -> str:
    return f"context: {context} question: {question} answer:"


def _answer(row: Row, tokenizer: Any, limit: int) -> list[int]:
    """Tokens of the first gold answer, on one line, as they stand behind a prompt."""
    text = " ".join(row["answers"]["text"][0].split())
    return list(tokenizer(f" {text}", add_special_tokens=False)["input_ids"])[:limit]
