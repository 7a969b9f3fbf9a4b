from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMultipleChoice,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from smc_bench.engine.pruning.masks import apply_masks
from smc_bench.errors import ModelError
from smc_bench.export import onnx as onnx_file
from smc_bench.models.components import component_map
from tests.helpers.architectures import tiny_model
from tests.helpers.engine import tiny_classifier

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None, reason="the extra export is not installed"
)
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 34,
}


def with_holes(model: Any, share: float = 0.7) -> Any:
    """The model with random zeros in everything that may be pruned."""
    torch.manual_seed(3)
    parameters = dict(model.named_parameters())
    names = component_map(model).prunable
    apply_masks(parameters, {n: torch.rand(parameters[n].shape) > share for n in names})
    return model.eval()


def made(kind: str) -> tuple[Any, Any]:
    if kind == "bert":
        return with_holes(tiny_classifier(dropout=0.1)), "sequence_classification"
    if kind in ("llama", "gpt2", "gpt_neox", "opt", "t5"):
        return with_holes(tiny_model(kind, "sequence_classification", 2)), "sequence_classification"
    if kind == "choices":
        return with_holes(BertForMultipleChoice(BertConfig(**SIZES))), "multiple_choice"
    if kind == "roberta":
        model = RobertaForSequenceClassification(RobertaConfig(**SIZES, type_vocab_size=1))
        return with_holes(model), "sequence_classification"
    config = DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    return with_holes(DistilBertForQuestionAnswering(config)), "question_answering"


@needs_onnx
@pytest.mark.parametrize(
    ("kind", "opset"),
    [
        *(("bert", 14), ("choices", 14), ("roberta", 14), ("spans", 14), ("bert", 18)),
        *(("choices", 18), ("llama", 17), ("llama", 18), ("gpt2", 17), ("gpt_neox", 17)),
        *(("opt", 17), ("t5", 17), ("t5", 18)),
    ],
)
def test_zeros_stay_and_other_shapes_give_torchs_logits(
    kind: str, opset: int, tmp_path: Path
) -> None:
    import onnx

    if opset >= 18:
        pytest.importorskip("onnxscript", reason="the extra export is not installed")
    model, head = made(kind)
    path = tmp_path / "model.onnx"
    report = onnx_file.write_onnx(model, head, path, opset=opset)
    parameters = dict(model.named_parameters())
    wanted = sorted(int((parameters[n] == 0).sum()) for n in component_map(model).prunable)
    shapes = {p.shape for p in parameters.values() if p.ndim == 2}
    shapes |= {shape[::-1] for shape in shapes}
    arrays = [onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer]
    found = [int((a == 0).sum()) for a in arrays if a.ndim == 2 and a.shape in shapes]
    assert [count for count in sorted(found) if count in wanted] == wanted
    assert report.zeros == sum(wanted)
    ort = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    assert report.difference is not None
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = onnx_file.example_inputs(model, head, 4, 21, choices=5, seed=9)
    assert {given.name for given in session.get_inputs()} == set(inputs)
    with torch.no_grad():
        outputs = [v for k, v in model(**inputs).items() if "logits" in k]
    theirs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    for ours, other in zip(outputs, theirs, strict=True):
        np.testing.assert_allclose(other, ours.numpy(), atol=1e-5)


@needs_onnx
def test_a_file_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    model, head = made("bert")
    real = onnx_file._export

    def careless(wrapped: Any, *rest: Any, **named: Any) -> None:
        bias = wrapped.model.classifier.bias.data
        bias += 1
        real(wrapped, *rest, **named)
        bias -= 1

    monkeypatch.setattr(onnx_file, "_export", careless)
    with pytest.raises(ModelError, match="differ from torch's by 1"):
        onnx_file.write_onnx(model, head, tmp_path / "model.onnx", opset=14)


@needs_onnx
def test_a_file_whose_zeros_are_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, head = made("bert")
    real = onnx_file._export

    def dense(wrapped: Any, *rest: Any, **named: Any) -> None:
        weight = wrapped.model.bert.encoder.layer[0].output.dense.weight.data
        before = weight.clone()
        weight[weight == 0] = 1e-9
        real(wrapped, *rest, **named)
        weight.copy_(before)

    monkeypatch.setattr(onnx_file, "_export", dense)
    with pytest.raises(ModelError, match=r"layer\.0\.output\.dense\.weight are not in the file"):
        onnx_file.write_onnx(model, head, tmp_path / "model.onnx", opset=14)


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    model, head = made("bert")
    with pytest.raises(ModelError, match=r"smc-bench\[export\]"):
        onnx_file.write_onnx(model, head, tmp_path / "model.onnx")
