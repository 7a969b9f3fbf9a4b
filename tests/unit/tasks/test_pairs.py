from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from smc_bench.errors import ModelError
from smc_bench.tasks.pairs import separate_pairs

VOCABULARY = {"<unk>": 0, "<s>": 1, "</s>": 2, "<sep>": 3, "a": 4, "b": 5, "c": 6, "d": 7}
AROUND = processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
)
BOTH = processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
)


def tokenizer(post_processor: Any = None, **names: str) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = post_processor
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", **names)


@pytest.mark.parametrize(
    ("post_processor", "names", "pair", "single"),
    [
        (None, {"eos_token": "</s>"}, [4, 5, 2, 6], [4, 5]),
        (None, {"eos_token": "</s>", "sep_token": "<sep>"}, [4, 5, 3, 6], [4, 5]),
        (AROUND, {"eos_token": "</s>", "bos_token": "<s>"}, [1, 4, 5, 2, 6], [1, 4, 5]),
        # It has one already.
        (BOTH, {"eos_token": "</s>", "bos_token": "<s>"}, [1, 4, 5, 1, 6], [1, 4, 5]),
        (
            processors.ByteLevel(trim_offsets=True),
            {"eos_token": "</s>"},
            [4, 5, 2, 6],
            [4, 5],
        ),
    ],
)
def test_one_token_stands_between(
    post_processor: Any, names: dict[str, str], pair: list[int], single: list[int]
) -> None:
    made = tokenizer(post_processor, **names)
    for _ in range(2):  # a second time changes nothing
        separate_pairs(made, Path("m"))
        assert made("a b", "c")["input_ids"] == pair
        assert made("a b")["input_ids"] == single
        assert made.num_special_tokens_to_add(pair=True) == len(pair) - 3


def test_truncation_leaves_the_separator() -> None:
    made = tokenizer(eos_token="</s>")
    separate_pairs(made, Path("m"))
    cut = made("a b c d", "d", truncation="longest_first", max_length=4)["input_ids"]
    assert cut == [4, 5, 2, 7]


def test_without_any_such_token_it_is_an_error() -> None:
    with pytest.raises(ModelError, match="nothing between the texts of a pair"):
        separate_pairs(tokenizer(), Path("m"))
