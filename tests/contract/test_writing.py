"""Greedy answers of every language model, against a loop without caches, batches and padding."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from smc_bench.engine.loss.constancy import constancy
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.writing import write
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.tasks.base import Feature
from tests.helpers.architectures import tiny_model, tiny_tokenizer

KINDS = sorted(kind for kind, row in ARCHITECTURES.items() if row.kind != "encoder")
END, NEW = 3, 9


def prompts() -> list[Feature]:
    rng = np.random.default_rng(8)
    sizes = (3, 17, 5, 5, 24, 11, 2)
    made = [[int(i) for i in rng.integers(5, 30, size=size)] for size in sizes]
    return [{"input_ids": ids, "example": i} for i, ids in enumerate(made)]


@torch.no_grad()
def one_by_one(model: Any, ids: list[int]) -> list[int]:
    """The likeliest token, again and again, each from a whole forward pass of one sequence."""
    new: list[int] = []
    while len(new) < NEW and new[-1:] != [END]:
        if ARCHITECTURES[model.config.model_type].kind == "encoder-decoder":
            logits = model(
                input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[0, *new]])
            ).logits
        else:
            logits = model(input_ids=torch.tensor([[*ids, *new]]), use_cache=False).logits
        new.append(int(logits[0, -1].argmax()))
    return new


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["dynamic", "none"])
def test_answers_are_those_of_single_prompts(kind: str, padding: str) -> None:
    tokenizer = tiny_tokenizer(kind)
    tokenizer.pad_token = "[PAD]"
    model = tiny_model(kind, "language_modelling", tie_word_embeddings=False).double()  # type: ignore[arg-type]
    with torch.no_grad():  # so that some end before the limit, each in its own place
        model.get_output_embeddings().weight[END] *= 1.6
    # What a folder's generation_config.json may ask for does not count.
    model.generation_config = own = GenerationConfig(
        do_sample=True, repetition_penalty=9.0, max_length=4, min_new_tokens=3
    )
    expected = [one_by_one(model, feature["input_ids"]) for feature in prompts()]
    feed = Feed(model, "language_modelling", 0, padding=padding)  # type: ignore[arg-type]
    found = write(feed, prompts(), tokenizer, NEW, 3)
    texts = [str(text[0]) for (text,) in found]
    ended = [ids[: -1 if ids[-1] == END else None] for ids in expected]
    assert texts == [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in ended]
    assert model.generation_config is own
    again = write(feed, prompts(), tokenizer, NEW, 1)
    assert [str(text[0]) for (text,) in again] == texts
    alike = constancy(found, "language_modelling")
    assert alike.all_equal == (len(set(texts)) == 1)
    assert json.dumps(texts)


def test_an_answer_ends_at_its_first_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizer("gpt2")
    tokenizer.pad_token = "[PAD]"
    said = " \n two words \n and more"
    monkeypatch.setattr(
        PreTrainedTokenizerFast, "batch_decode", lambda self, ids, **more: [said] * len(ids)
    )
    model = tiny_model("gpt2", "language_modelling")  # type: ignore[arg-type]
    found = write(Feed(model, "language_modelling", 0), prompts()[:2], tokenizer, 2, 2)  # type: ignore[arg-type]
    assert [str(text[0]) for (text,) in found] == ["two words"] * 2
