"""Does a tokenizer fit its model? Ids, special tokens, token types and positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from smc_bench.errors import ModelError
from smc_bench.models.architecture import Kind, architecture
from smc_bench.models.heads import flat_choices
from smc_bench.tasks.base import Head

# Special tokens that a kind of model can't do without.
_NEEDED: dict[Kind, tuple[str, ...]] = {
    "encoder": ("pad_token", "cls_token", "sep_token"),
    "decoder": ("pad_token",),
    "encoder-decoder": ("pad_token", "eos_token"),
}


def positions(config: Any) -> int | None:
    """Tokens that a sequence may have at most, or None where nothing limits them."""
    limit = int(getattr(config, "max_position_embeddings", 0) or 0)
    if not limit:
        return None
    skipped = (config.pad_token_id or 0) + 1 if architecture(config).after_padding else 0
    return max(limit - skipped, 0)


def check_length(config: Any, max_length: int, folder: Path) -> None:
    """Fail if sequences may become longer than a model has positions.

    Raises:
        ModelError: Naming both numbers.
    """
    usable = positions(config)
    if usable is not None and max_length > usable:
        raise ModelError(
            f"max_length {max_length} is more than the {usable} positions that {folder.name} has: "
            "set max_length of the task in the suite"
        )


def check_tokenizer(tokenizer: Any, config: Any, folder: Path) -> None:
    """Fail if a tokenizer makes ids that the model lacks, or not the tokens that it needs.

    Raises:
        ModelError: Saying what does not fit.
    """
    vocabulary = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    if not set(vocabulary) - special:
        raise ModelError(
            f"{folder}: its tokenizer knows no word: the vocabulary holds nothing but "
            f"{', '.join(sorted(special))}; copy the files of the model's own tokenizer"
        )
    rows = int(config.vocab_size)
    highest = max(vocabulary.values())
    if highest >= rows:
        token = max(vocabulary, key=lambda name: vocabulary[name])
        raise ModelError(
            f"{folder}: its tokenizer has {len(vocabulary)} ids up to {highest} ({token!r}), but "
            f"the model has embeddings for {rows} (vocab_size): the tokenizer is another model's, "
            "or tokens were added after the model was saved"
        )
    _check_special(tokenizer, config, folder)


def check_forward(model: Any, tokenizer: Any, head: Head, folder: Path) -> None:
    """Fail if a model can't answer one short text, or answers with what is no number.

    Settings that no shape gives away show here: an epsilon that is negative or not a number, tuples
    in place of named outputs, initial weights of the head that overflow.

    Raises:
        ModelError: Saying what came instead.
    """
    ids = torch.tensor([tokenizer("a")["input_ids"]])
    row = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if head == "multiple_choice" and not flat_choices(model.config):
        row = {key: value.unsqueeze(1) for key, value in row.items()}
    if head == "language_modelling" and architecture(model.config).kind == "encoder-decoder":
        row["decoder_input_ids"] = ids
    names = ("start_logits", "end_logits") if head == "question_answering" else ("logits",)
    try:
        with torch.no_grad():
            outputs = model.eval()(**row)
        found = [getattr(outputs, name) for name in names]
    except MemoryError:
        raise
    except Exception as error:  # whatever a setting of config.json leads to
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{folder}: the model that config.json describes can't be used: {said}"
        ) from error
    if not all(bool(torch.isfinite(values).all()) for values in found):
        raise ModelError(
            f"{folder}: the model answers a short text with values that are infinite or not a "
            "number: look at layer_norm_eps and initializer_range in config.json"
        )


def _check_special(tokenizer: Any, config: Any, folder: Path) -> None:
    kind = architecture(config).kind
    for name in _NEEDED[kind]:
        if getattr(tokenizer, name) is None:
            raise ModelError(
                f"{folder}: its tokenizer has no {name}: name it in tokenizer_config.json"
            )
    if config.pad_token_id is not None and config.pad_token_id != tokenizer.pad_token_id:
        raise ModelError(
            f"{folder}: padding is id {tokenizer.pad_token_id} ({tokenizer.pad_token}) for the "
            f"tokenizer, but pad_token_id {config.pad_token_id} in config.json: correct the latter"
        )
    encoded = tokenizer("a", "b")
    ids = list(encoded["input_ids"])
    if kind == "encoder-decoder" and ids[-1:] != [config.eos_token_id]:
        raise ModelError(
            f"{folder}: its tokenizer does not put the model's end token (eos_token_id "
            f"{config.eos_token_id} in config.json) after a text, which the head looks for"
        )
    if kind == "encoder" and (
        ids[:1] != [tokenizer.cls_token_id] or ids[-1:] != [tokenizer.sep_token_id]
    ):
        raise ModelError(
            f"{folder}: its tokenizer does not put {tokenizer.cls_token} before and "
            f"{tokenizer.sep_token} after a text: tokenizer.json lacks its post_processor"
        )
    types = max(encoded.get("token_type_ids") or [0])
    known = int(getattr(config, "type_vocab_size", 0) or 0)
    if types >= max(known, 1) and architecture(config).token_types:
        raise ModelError(
            f"{folder}: its tokenizer tells {types + 1} kinds of text apart (token_type_ids), but "
            f"the model has {known} (type_vocab_size)"
        )
