"""Tokenizers that do not fit their model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, BertConfig, MPNetConfig, RobertaConfig

from smc_bench.errors import ModelError
from smc_bench.models.fit import check_forward, check_length, check_tokenizer, positions
from smc_bench.models.load import load_config, load_model, load_tokenizer
from smc_bench.tasks.base import Head
from tests.helpers.tokenizer import wordpiece


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def check(folder: Path) -> None:
    check_tokenizer(load_tokenizer(folder), load_config(folder), folder)


def without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def setting(name: str, key: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder, name, lambda content: content.update({key: value}))


def grown(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["brandnew"])
    tokenizer.save_pretrained(folder)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "none": (without_tokenizer, "it has no tokenizer"),
    "empty": (lambda f: (f / "tokenizer.json").write_text(""), "it has no tokenizer"),
    "damaged": (lambda f: (f / "tokenizer.json").write_text("{"), "no usable tokenizer"),
    "larger": (setting("config.json", "vocab_size", 10), r"25 ids up to 24 .* embeddings for 10"),
    "one more": (grown, r"26 ids up to 25 \('brandnew'\), but .* for 25"),
    "other padding": (setting("config.json", "pad_token_id", 1), r"padding is id 0 .*_id 1 in"),
    "no post-processor": (setting("tokenizer.json", "post_processor", None), r"does not put \[CLS"),
    "no padding": (
        lambda f: edit(f, "tokenizer_config.json", lambda c: c.pop("pad_token")),
        "has no pad_token",
    ),
}


def test_the_tiny_model_fits(tiny_model: Path) -> None:
    check(tiny_model)


@pytest.mark.parametrize(("fault", "said"), FAULTS.values(), ids=FAULTS)
def test_what_does_not_fit_is_said(fault: Any, said: str, folder: Path) -> None:
    fault(folder)
    with pytest.raises(ModelError, match=said) as caught:
        check(folder)
    assert str(folder) in str(caught.value)


def test_a_vocabulary_of_special_tokens_alone_is_refused(folder: Path) -> None:
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    edit(folder, "tokenizer.json", lambda content: content["model"].update(vocab=special))
    with pytest.raises(ModelError, match="knows no word"):
        check(folder)


def test_token_types_that_the_model_lacks_are_refused() -> None:
    tokenizer = wordpiece(["a b"])
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": 0}
    check_tokenizer(tokenizer, BertConfig(**sizes), Path("m"))
    with pytest.raises(ModelError, match=r"tells 2 kinds .* the model has 1"):
        check_tokenizer(tokenizer, BertConfig(**sizes, type_vocab_size=1), Path("m"))
    # RoBERTa is given no token types, so its single one is enough.
    check_tokenizer(tokenizer, RobertaConfig(**sizes, type_vocab_size=1), Path("m"))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BertConfig(max_position_embeddings=130), 130),
        (RobertaConfig(max_position_embeddings=514, pad_token_id=1), 512),
        (RobertaConfig(max_position_embeddings=50, pad_token_id=1), 48),
        (MPNetConfig(max_position_embeddings=514, pad_token_id=1), 512),
    ],
)
def test_positions_are_counted_as_the_model_numbers_them(config: Any, expected: int) -> None:
    assert positions(config) == expected
    check_length(config, expected, Path("m"))
    with pytest.raises(ModelError, match=f"max_length {expected + 1} is more than the {expected}"):
        check_length(config, expected + 1, Path("m"))


@pytest.mark.parametrize(
    "head", ["sequence_classification", "multiple_choice", "question_answering"]
)
def test_a_model_that_works_answers(tiny_model: Path, head: Head) -> None:
    model = load_model(tiny_model, head, 2, seed=0)
    check_forward(model, load_tokenizer(tiny_model), head, tiny_model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layer_norm_eps": -1.0}, "not a number"),
        ({"layer_norm_eps": float("nan")}, "not a number"),
        ({"return_dict": False}, "can't be used"),
    ],
)
def test_settings_that_only_an_answer_gives_away(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    model = load_model(folder, "sequence_classification", 2, seed=0)
    with pytest.raises(ModelError, match=said):
        check_forward(model, load_tokenizer(folder), "sequence_classification", folder)
