"""Texts, and how well a language model predicts them: perplexity on held-out documents.

What is counted, and what not:

- Each row is a document. Contexts never go beyond it.
- A document longer than ``max_length`` tokens (the context length, part of a cell's identity) is
  cut into windows of that length. A window begins with the last token of the one before, which is
  context there and was scored before: so every token of a document but its first is scored once.
- The tokenizer adds what it adds to any text. Where it begins texts with a token of its own (as
  LLaMA's does) that is the first one, and all of the text is scored; a token that ends texts (as
  T5's) is scored.
- An encoder-decoder reads the first half of each window and is scored on the rest: its perplexity
  does not compare with a decoder's.
- Rows without text are no documents.

Perplexities of models with different tokenizers do not compare: their tokens are others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from smc_bench.errors import CorruptDataError, DivergedError
from smc_bench.tasks.base import Encoding, Feature, Head, Outputs, Row, Scores, Task
from smc_bench.tasks.rows import check_columns, check_finite, text_of, tokenized

# exp of more is no number; nor is it a language model.
_MOST_NATS = 700.0


class LanguageModelling(Task):
    """Input form: windows of a document, as the tokenizer makes it; see the module's text.

    The documents are in the spec's only column.
    """

    head: Head = "language_modelling"

    def features(
        self, rows: Sequence[Row], tokenizer: Any, encoding: Encoding, *, train: bool
    ) -> list[Feature]:
        """One feature a window; none for a row of fewer than two tokens.

        Raises:
            CorruptDataError: A row lacks the column or a text, or no row has anything to predict.
        """
        texts = [self._text(index, row) for index, row in enumerate(rows)]
        told = [index for index, text in enumerate(texts) if text.strip()]
        column = [texts[index] for index in told]
        found: list[Feature] = []
        if column:
            encoded = tokenized(tokenizer, [column], truncation=False, verbose=False)
            for index, document in zip(told, encoded, strict=True):
                for ids in windows(document["input_ids"], encoding.max_length):
                    read = len(ids) // 2
                    found.append(
                        {"input_ids": ids, "example": index, "scored_from": 1, "read": read}
                    )
        if rows and not found:
            raise CorruptDataError(
                f"{self.spec.name}: none of {len(rows)} rows has a text of two tokens or more in "
                f"{self.spec.columns[0]!r}"
            )
        return found

    def score(self, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs) -> Scores:
        """Perplexity and nats a token, over all scored tokens alike.

        ``correct`` holds the summed nats of each document, ``weights`` its scored tokens, and
        ``predictions`` their quotient (None without tokens).

        Raises:
            DivergedError: Log probabilities are not finite, or beyond any perplexity.
            ValueError: There is nothing to score.
        """
        sums: list[list[float]] = [[] for _ in rows]
        tokens = np.zeros(len(rows))
        for feature, heads in zip(features, outputs, strict=True):
            check_finite(self.spec, feature["example"], heads)
            sums[feature["example"]].append(float(heads[0].astype(np.float64).sum()))
            tokens[feature["example"]] += len(heads[0])
        if not tokens.sum():
            raise ValueError(f"{self.spec.name}: there is nothing to score: no tokens")
        nats = np.array([math.fsum(some) for some in sums])  # in whatever order windows came
        said = [float(n / t) if t else None for n, t in zip(nats, tokens, strict=True)]
        found = self._metrics(float(nats.sum() / tokens.sum()))
        return Scores(found, said, nats.tolist(), weights=tokens.tolist())

    def trivial(self, rows: Sequence[Row]) -> dict[str, float]:
        """Nothing: an answer that ignores the context needs the training texts (``baseline``)."""
        return {}

    def baseline(
        self,
        rows: Sequence[Row],
        features: Sequence[Feature],
        outputs: Outputs,
        seen: Sequence[Feature],
        vocabulary: int,
    ) -> dict[str, float]:
        """A unigram model: how often each token is in the training texts, plus one.

        Add-one smoothing over the vocabulary (Jurafsky and Martin, Speech and Language Processing,
        chapter 3); tokens that are context alone in a window are not counted.
        """
        counts: Counter[int] = Counter()
        for feature in seen:
            counts.update(feature["input_ids"][feature["scored_from"] :])
        total, nats, tokens = counts.total() + vocabulary, 0.0, 0
        for feature, heads in zip(features, outputs, strict=True):
            for token in feature["input_ids"][-len(heads[0]) :]:
                nats -= math.log((counts[token] + 1) / total)
                tokens += 1
        return self._metrics(nats / tokens)

    def check_row(self, index: int, row: Row) -> None:
        """A text."""
        self._text(index, row)

    def _text(self, index: int, row: Row) -> str:
        check_columns(self.spec, index, row)
        return text_of(self.spec, index, row, self.spec.columns[0])

    def _metrics(self, nats: float) -> dict[str, float]:
        if nats > _MOST_NATS:
            raise DivergedError(
                f"{self.spec.name}: {nats:.4g} nats a token, of which no perplexity can be made: "
                "the model's weights are far too large"
            )
        known = {"perplexity": math.exp(nats), "nats_per_token": nats}
        return {name: known[name] for name in self.spec.metrics}


def windows(ids: Sequence[int], length: int) -> Iterator[list[int]]:
    """Windows of a document in which every token but its first is scored once.

    Args:
        ids: The document's tokens.
        length: Tokens of a window, at least 2. Each begins with the last token of the one before.
    """
    for start in range(0, len(ids) - 1, length - 1):
        yield list(ids[start : start + length])
