"""A BERT of an ONNX file computes what the file computes (as onnxruntime has it)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from smc_bench.errors import ModelError
from smc_bench.models import from_onnx

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")

TOKENS = np.array([[2, 7, 5, 11, 3], [2, 30, 3, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


class Wrapped(torch.nn.Module):
    """As a pipeline of sentence-transformers wraps a model: names get a prefix."""

    def __init__(self, inner: BertModel) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.inner(input_ids=input_ids, attention_mask=attention_mask)[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=16,
    )
    model = Wrapped(BertModel(config, add_pooling_layer=False)).eval()
    for parameter in model.parameters():  # norms and biases that are not 1 and 0 too
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    torch.onnx.export(
        model,
        (torch.tensor(TOKENS), torch.tensor(MASK)),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["hidden"],
        opset_version=17,
        dynamo=False,
    )
    return path


def test_the_folder_computes_what_the_file_does(exported: Path, tmp_path: Path) -> None:
    from_onnx.convert(exported, tmp_path, heads=3)
    model, info = AutoModel.from_pretrained(
        tmp_path, add_pooling_layer=False, output_loading_info=True, dtype=torch.float32
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    with torch.no_grad():
        ours = model.eval()(torch.tensor(TOKENS), torch.tensor(MASK)).last_hidden_state.numpy()
    session = onnxruntime.InferenceSession(exported)
    theirs = session.run(None, {"input_ids": TOKENS, "attention_mask": MASK})[0]
    seen = MASK.astype(bool)
    np.testing.assert_allclose(ours[seen], theirs[seen], atol=2e-6)


def test_the_same_file_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        from_onnx.convert(exported, folder, heads=3)
    one, two = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert one == two
    assert set(one) == {"config.json", "model.safetensors"}


def test_what_is_no_named_encoder_is_refused(exported: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(exported.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"torn\.onnx is not a whole ONNX file"):
        from_onnx.convert(torn, tmp_path, heads=3)
    proto = onnx.load(exported)
    kept = [t for t in proto.graph.initializer if not t.name.endswith("query.bias")]
    for tensor in kept:
        tensor.name = tensor.name.replace("word_embeddings", "words")
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    other = tmp_path / "other.onnx"
    onnx.save(proto, other)
    with pytest.raises(ModelError, match=r"other\.onnx has no tensor .*word_embeddings"):
        from_onnx.convert(other, tmp_path, heads=3)
