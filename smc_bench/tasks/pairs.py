"""A separator between the texts of a pair, where a tokenizer puts none.

Tokenizers of decoders lay the second text right behind the first. With one token in between (the
delimiter of Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
section 3.3) the texts can be told apart. It is the tokenizer's own separator, or the token that
ends a text; lengths and truncation count it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers.processors import Sequence, TemplateProcessing

from smc_bench.errors import ModelError


def separate_pairs(tokenizer: Any, folder: Path) -> None:
    """Give a fast tokenizer a separator of pairs, in place, unless it has one.

    Args:
        tokenizer: Its post-processor changes.
        folder: Where it came from, for the message.

    Raises:
        ModelError: It has neither ``sep_token`` nor ``eos_token``.
    """
    first, second = (_plain(tokenizer, text) for text in ("a", "b"))
    alone, pair = (list(tokenizer(*texts)["input_ids"]) for texts in (("a",), ("a", "b")))
    before = _begins(alone, first)
    after = alone[before + len(first) :]
    if pair != [*alone[:before], *first, *second, *after]:
        return
    separator = tokenizer.sep_token_id
    separator = tokenizer.eos_token_id if separator is None else separator
    if separator is None:
        raise ModelError(
            f"{folder}: its tokenizer puts nothing between the texts of a pair, and has no token "
            "for it: name sep_token or eos_token in tokenizer_config.json"
        )
    ids = {"BEFORE": alone[:before], "BETWEEN": [separator], "AFTER": after}
    special = [
        {"id": name, "ids": found, "tokens": tokenizer.convert_ids_to_tokens(found)}
        for name, found in ids.items()
        if found
    ]
    head, tail = ["BEFORE"] * bool(before), ["AFTER"] * bool(after)
    template = TemplateProcessing(
        single=[*head, "$A", *tail],
        pair=[*head, "$A", "BETWEEN", "$B:0", *tail],
        special_tokens=special,
    )
    raw = tokenizer.backend_tokenizer
    # What puts tokens around a text itself is replaced; what only trims offsets stays.
    keep = raw.post_processor is not None and not before and not after
    raw.post_processor = Sequence([raw.post_processor, template]) if keep else template


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _begins(ids: list[int], inner: list[int]) -> int:
    """Where a part of a list begins, or 0."""
    found = [at for at in range(len(ids)) if ids[at : at + len(inner)] == inner]
    return found[0] if found else 0
