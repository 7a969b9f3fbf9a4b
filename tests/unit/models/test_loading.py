"""Model folders that are not what they seem, and heads: what is refused and what is made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from smc_bench.errors import MissingDataError, ModelError
from smc_bench.models.load import load_model, load_with_notes

QUERY = "encoder.layer.0.attention.self.query.weight"
Weights = dict[str, torch.Tensor]


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def shard(folder: Path, names: tuple[str, str], entries: dict[str, str] | None = None) -> None:
    """Replace the weights by two shards and their index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves: list[Weights] = [{}, {}]
    for i, name in enumerate(weights):
        halves[i % 2][name] = weights[name]
    index = {name: names[i % 2] for i, name in enumerate(weights)} | (entries or {})
    for name, half in zip(names, halves, strict=True):
        save_file(half, folder / name, metadata={"format": "pt"})
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def load(folder: Path, **more: Any) -> Any:
    return load_model(folder, "sequence_classification", 2, **{"seed": 1, **more})


def prefixed(prefix: str) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, lambda w: {prefix + k: v for k, v in w.items()})


def one(name: str, tensor: torch.Tensor) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, lambda w: w | {name: tensor})


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).write_bytes(content), None][1]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 440449768\n"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "_orig_mod": (prefixed("_orig_mod."), r"begin with '_orig_mod\.'.* 37 of the 37 "),
    "module": (prefixed("module."), r"begin with 'module\.'"),
    "model.bert": (prefixed("model.bert."), r"begin with 'model\.bert\.'"),
    "half": (
        lambda f: rewrite(f, lambda w: {k: v for k, v in w.items() if "layer.1" not in k}),
        r"model\.safetensors: 16 of the 37 tensors .*encoder\.layer\.1\.attention",
    ),
    "pooler bias": (
        lambda f: rewrite(f, lambda w: {k: v for k, v in w.items() if k != "pooler.dense.bias"}),
        r"bert\.pooler\.dense\.bias is not there, though the rest",
    ),
    "more layers": (
        one("encoder.layer.2.output.dense.bias", torch.zeros(16)),
        r"encoder\.layer\.2\.output\.dense\.bias has no place",
    ),
    "shape": (one(QUERY, torch.zeros(8, 16)), r"query\.weight has the shape \[8, 16\].*\[16, 16\]"),
    "int8": (one(QUERY, torch.zeros(16, 16, dtype=torch.int8)), r"query\.weight is of type I8"),
    "fp8": (one(QUERY, torch.zeros(16, 16).to(torch.float8_e4m3fn)), r"is of type F8_E4M3"),
    "NaN": (one(QUERY, torch.full((16, 16), torch.nan)), r"256 of the 256 values of bert\.enc"),
    "inf": (one("pooler.dense.bias", torch.tensor([torch.inf] * 16)), "16 of the 16 values"),
    "truncated": (cut, r"model\.safetensors is not a whole safetensors file: it has \d+ bytes"),
    "empty": (written("model.safetensors", b""), "not a whole safetensors file"),
    "text": (written("model.safetensors", b"hello, this is no model"), "not a whole safetensors"),
    "bad header": (written("model.safetensors", b"\x02" + b"\0" * 7 + b"[]"), "not an object"),
    "pointer": (written("model.safetensors", POINTER), r"model\.safetensors is a git-lfs pointer"),
    "pointer 2": (written("tokenizer.json", POINTER), r"tokenizer\.json is a git-lfs pointer"),
    "config": (written("config.json", b"{"), r"config\.json is not valid JSON"),
    "config list": (written("config.json", b"[]"), r"config\.json must hold a JSON object"),
    "architecture": (lambda f: configure(f, model_type="bart"), "architecture 'bart' is not one"),
    "unknown": (lambda f: configure(f, model_type="mine"), r"no usable config\.json"),
    "wrong type": (lambda f: configure(f, hidden_size="big"), "config.json|can't be loaded"),
    "quantised": (lambda f: configure(f, quantization_config={"bits": 8}), "quantization_config"),
    "other file": (lambda f: configure(f, transformers_weights="b.safetensors"), "another name"),
    "decoder": (lambda f: configure(f, is_decoder=True), "is_decoder is set"),
    "adapter": (written("adapter_config.json", b"{}"), "holds an adapter"),
    "pickled": (
        lambda f: [(f / "model.safetensors").rename(f / "pytorch_model.bin"), None][1],
        r"no model\.safetensors \(it has pytorch_model\.bin\)",
    ),
    "outside": (
        lambda f: shard(f, ("a.safetensors", "b.safetensors"), {"x": "../c.safetensors"}),
        r"x is said to be in '\.\./c\.safetensors', which is not the name",
    ),
    "moved": (
        lambda f: shard(f, ("a.safetensors", "b.safetensors"), {QUERY: "b.safetensors"}),
        r"query\.weight is in b\.safetensors, but it is not",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_folders_are_named(damage: Any, said: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=said) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_a_shard_that_is_not_there_is_named(folder: Path) -> None:
    shard(folder, ("a.safetensors", "b.safetensors"))
    (folder / "b.safetensors").unlink()
    with pytest.raises(MissingDataError, match=r"b\.safetensors is missing"):
        load(folder)


def test_shards_of_any_name_make_the_same_model(folder: Path, tiny_model: Path) -> None:
    shard(folder, ("weights-a.safetensors", "other.safetensors"))
    whole, parts = load(tiny_model).state_dict(), load(folder).state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_float_weights_of_any_width_are_read(dtype: torch.dtype, folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")[QUERY].to(dtype)
    rewrite(folder, lambda w: {k: v.to(dtype) for k, v in w.items()})
    found = load(folder).state_dict()[f"bert.{QUERY}"]
    assert torch.equal(found, stored.float())


CLASSES = {
    "BertForPreTraining": {},
    "RobertaForMaskedLM": {"pad_token_id": 1, "type_vocab_size": 1},
    "XLMRobertaForMaskedLM": {"pad_token_id": 1},
    "CamembertForMaskedLM": {"pad_token_id": 1},
    "DistilBertForMaskedLM": {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2},
    "ElectraForPreTraining": {"embedding_size": 8},
    "MPNetForMaskedLM": {},
}
HEADS = ["sequence_classification", "multiple_choice", "question_answering"]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", CLASSES)
def test_pretrained_models_of_all_architectures_load(name: str, head: Any, tmp_path: Path) -> None:
    kind = getattr(transformers, name)
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 40}
    made = kind(kind.config_class(**(sizes | CLASSES[name])))
    made.save_pretrained(tmp_path)
    base, model = made.base_model, load_model(tmp_path, head, 2, seed=1)
    ours, compared = model.base_model.state_dict(), 0
    for key, tensor in base.state_dict().items():
        if "pooler" not in key:
            assert torch.equal(ours[key], tensor), key
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("labels", [2, 3])
def test_a_head_in_the_folder_is_replaced_by_a_new_one(labels: int, tmp_path: Path) -> None:
    """Of the right size or not: the same as where the folder holds none."""
    names = ["no", "maybe", "yes"][:labels]
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        id2label=dict(enumerate(names)),
        problem_type="multi_label_classification",
    )
    made = BertForSequenceClassification(config)
    made.save_pretrained(tmp_path / "with")
    known = ("negative", "positive")
    model, notes = load_with_notes(
        tmp_path / "with", "sequence_classification", 2, seed=1, names=known
    )
    other = load_with_notes(tmp_path / "with", "sequence_classification", 2, seed=2)[0]
    weight = model.classifier.weight
    assert weight.shape == (2, 16)
    assert not torch.equal(weight, other.classifier.weight)
    assert not torch.equal(weight, made.classifier.weight[:2])
    # BERT's own initialisation: normal of this deviation, and no bias.
    assert 0.01 < float(weight.detach().std()) < 0.03 == config.initializer_range + 0.01
    assert not model.classifier.bias.any()
    assert torch.equal(model.bert.pooler.dense.weight, made.bert.pooler.dense.weight)
    assert notes == [
        "the model's folder holds a head (classifier.weight, classifier.bias; labels "
        f"{', '.join(names)}): it is not used, the task gets a new one"
    ]
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.label2id == {"negative": 0, "positive": 1}
    assert model.config.problem_type is None


def test_former_labels_do_not_reach_other_heads(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config.id2label = {0: "a", 1: "b", 2: "c"}
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    spans = load_model(tmp_path, "question_answering", 2, seed=1)
    assert spans.qa_outputs.weight.shape == (2, 16)
    assert spans.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    choices = load_model(tmp_path, "multiple_choice", 5, seed=1)
    assert choices.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}


def test_weights_of_a_finished_cell_keep_their_head(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    model.save_pretrained(tmp_path / "finished")
    again = load(tmp_path / "finished", seed=7, finished=True)
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    with pytest.raises(ModelError, match=r"2 of the 41 tensors .* classifier"):
        load(folder, finished=True)


def test_two_tensors_for_one_parameter_are_refused(folder: Path) -> None:
    name = "pooler.dense.weight"
    rewrite(folder, lambda w: {**w, f"bert.{name}": w[name] + 1})
    with pytest.raises(ModelError, match=rf"bert\.{name}.* both for one parameter"):
        load(folder)


def test_old_and_new_name_of_one_parameter_are_refused(folder: Path) -> None:
    name = "embeddings.LayerNorm"
    rewrite(folder, lambda w: {**w, f"{name}.gamma": w[f"{name}.weight"] + 1})
    with pytest.raises(ModelError, match=rf"{name}\.gamma.* both for one parameter"):
        load(folder)


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    shard(folder, ("a.safetensors", "b.safetensors"))
    first, second = (load_file(folder / f"{name}.safetensors") for name in "ab")
    name = min(second)
    save_file({**first, name: second[name] + 1}, folder / "a.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"{name} and {name} \(in a\.safetensors\)"):
        load(folder)
