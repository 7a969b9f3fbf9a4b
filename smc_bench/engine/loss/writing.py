"""Answers that a language model writes: greedy decoding of prompts, by transformers' ``generate``.

The model's own defaults for generation (sampling, penalties) do not count: the likeliest token is
taken each time, until the token that ends texts or as many as a task allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig

from smc_bench.engine.loss.batches import feature_length
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.errors import Interrupted
from smc_bench.models.architecture import architecture
from smc_bench.tasks.base import Feature, Texts


@torch.inference_mode()
def write(
    feed: Feed,
    features: Sequence[Feature],
    tokenizer: Any,
    new_tokens: int,
    batch_size: int,
    *,
    progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Texts]:
    """What a model writes after each prompt, in feature order, in eval mode and float32.

    A text ends at its first line break; blanks around it are left out. Prompts of like length share
    a batch, with padding before them (behind them where an encoder reads them).

    Args:
        feed: The model.
        features: Prompts (``input_ids``).
        tokenizer: The model's; has a token that ends texts.
        new_tokens: Tokens that an answer may have.
        batch_size: Prompts of a batch.
        progress: Told after each batch how many prompts are done.
        should_stop: Asked before each batch.

    Raises:
        Interrupted: If ``should_stop`` says so.
    """
    model = feed.model
    was_training = model.training
    model.eval()
    order = np.argsort([-feature_length(feature) for feature in features], kind="stable")
    found: list[Texts] = [()] * len(features)
    with _greedy(model, tokenizer, new_tokens):
        for start in range(0, len(order), batch_size):
            if should_stop():
                raise Interrupted("stopped while evaluating")
            chosen = order[start : start + batch_size]
            texts = _answers(feed, [features[i]["input_ids"] for i in chosen], tokenizer)
            for index, text in zip(chosen, texts, strict=True):
                found[index] = (np.array([text]),)
            if progress is not None:
                progress(start + len(chosen))
    model.train(was_training)
    return found


def _answers(feed: Feed, prompts: list[list[int]], tokenizer: Any) -> list[str]:
    model = feed.model
    reads = architecture(model.config).kind == "encoder-decoder"
    inputs = {
        "input_ids": _padded(prompts, feed.pad_token_id, behind=reads),
        "attention_mask": _padded([[1] * len(ids) for ids in prompts], 0, behind=reads),
    }
    with torch.autocast(model.device.type, enabled=False):
        ids = model.generate(**{key: tensor.to(model.device) for key, tensor in inputs.items()})
    new = ids[:, 1 if reads else inputs["input_ids"].shape[1] :].tolist()
    end = tokenizer.eos_token_id
    # Behind the end is padding, to the longest of the batch.
    written = [row[: row.index(end)] if end in row else row for row in new]
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    return [text.strip().split("\n", 1)[0].strip() for text in texts]


@contextmanager
def _greedy(model: Any, tokenizer: Any, new_tokens: int) -> Iterator[None]:
    """Put our settings in the place of the model's own, which ``generate`` would mix in."""
    own = model.generation_config
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        num_beams=1,
        max_new_tokens=new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
        use_cache=True,
    )
    try:
        yield
    finally:
        model.generation_config = own


def _padded(rows: list[list[int]], fill: int, *, behind: bool) -> Tensor:
    longest = max(map(len, rows))
    pads = [[fill] * (longest - len(row)) for row in rows]
    return torch.tensor([r + p if behind else p + r for r, p in zip(rows, pads, strict=True)])
