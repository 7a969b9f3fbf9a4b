"""A LLaMA of a GGUF file: its numbers by hand, and as transformers' own loader has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from smc_bench.errors import MissingDataError, ModelError
from smc_bench.models import from_gguf

gguf = pytest.importorskip("gguf")

LAYERS, HIDDEN, HEADS, GROUPS, INNER = 2, 64, 4, 2, 96
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BYTES = [c for c in map(chr, range(33, 127))] + ["Ġ", "Ċ"]
TOKENS = [*CONTROL, *BYTES, "Ġt", "th", "the"]
MERGES = ["Ġ t", "t h", "th e"]
ROWS = {"attn_q": HIDDEN, "attn_k": 32, "attn_v": 32, "attn_output": HIDDEN}
ROWS |= {"ffn_gate": INNER, "ffn_up": INNER, "ffn_down": HIDDEN}


def _write(path: Path, architecture: str = "llama", pre: str = "smollm", skip: str = "") -> Path:
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(TOKENS) - len(CONTROL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)

    def add(name: str, shape: tuple[int, ...], kind: Any) -> None:
        values = random.normal(size=shape).astype(np.float32)
        if name.startswith(skip) and skip:
            return
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    types = gguf.GGMLQuantizationType
    add("token_embd.weight", (len(TOKENS), HIDDEN), types.Q8_0)
    add("output_norm.weight", (HIDDEN,), types.F32)
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{norm}.weight", (HIDDEN,), types.F32)
        for name, rows in ROWS.items():
            columns = INNER if name == "ffn_down" else HIDDEN
            add(f"blk.{layer}.{name}.weight", (rows, columns), types.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("converted")
    from_gguf.convert(source, made)
    return made


def _by_hand(source: Path, name: str) -> np.ndarray:
    """Q4_1 as ggml has it: of 32 values a scale and a minimum (float16) and 16 bytes of nibbles.

    The low nibbles are the first 16 values, the high ones the others.
    """
    tensor = next(t for t in gguf.GGUFReader(source).tensors if t.name == name)
    blocks = np.asarray(tensor.data).reshape(-1, 20)
    scale, least = np.ascontiguousarray(blocks[:, :4]).view(np.float16).astype(np.float32).T
    nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    values = scale[:, None] * nibbles.astype(np.float32) + least[:, None]
    return values.reshape(int(tensor.shape[1]), int(tensor.shape[0]))


def test_weights_are_those_worked_out_by_hand(source: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    assert all(value.dtype == np.float32 for value in weights.values())
    down = weights["model.layers.1.mlp.down_proj.weight"]
    np.testing.assert_array_equal(down, _by_hand(source, "blk.1.ffn_down.weight"))
    assert max(len(np.unique(block)) for block in down.reshape(-1, 32)) <= 16
    # llama.cpp's permute: rotary dimensions j and j + half stand next to each other.
    for ours, theirs, heads in (("q", "attn_q", HEADS), ("k", "attn_k", GROUPS)):
        stored = _by_hand(source, f"blk.0.{theirs}.weight")
        size = len(stored) // heads
        for row, values in enumerate(weights[f"model.layers.0.self_attn.{ours}_proj.weight"]):
            head, inside = divmod(row, size)
            half, j = divmod(inside, size // 2)
            np.testing.assert_array_equal(values, stored[head * size + 2 * j + half])


def test_it_is_the_model_that_transformers_reads(source: Path, folder: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32
    ).state_dict()
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ours = model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not hasattr(model.config, "quantization_config")
    assert model.config.rope_parameters["rope_theta"] == 10000.0
    assert model.config.rms_norm_eps == 1e-5
    assert model.config.tie_word_embeddings


def test_texts_are_split_as_llama_cpp_splits_them(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("the t") == ["the", "Ġt"]
    assert tokenizer("<|im_end|>")["input_ids"] == [2]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    # LLAMA_VOCAB_PRE_TYPE_SMOLLM in llama.cpp: each digit alone, then GPT-2's expression.
    gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    for text in ("it's 12 days, 3rd  of\n May", "x=10; y ='ll 7%", "  a1b22 ", "½ über 3"):
        pieces = [p for p in regex.split(r"(\p{N})", text) if p]
        wanted = [word for piece in pieces for word in regex.findall(gpt2, piece)]
        assert [text[a:b] for _, (a, b) in split(text)] == wanted


def test_the_same_file_gives_the_same_bytes(source: Path, folder: Path, tmp_path: Path) -> None:
    from_gguf.convert(source, tmp_path)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_what_can_not_be_converted_is_refused(source: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"torn\.gguf is not a whole GGUF file"):
        from_gguf.convert(torn, tmp_path)
    other = _write(tmp_path / "other.gguf", architecture="falcon")
    with pytest.raises(ModelError, match=r"architecture 'falcon'; only llama"):
        from_gguf.convert(other, tmp_path)
    foreign = _write(tmp_path / "foreign.gguf", pre="deepseek-llm")
    with pytest.raises(ModelError, match="deepseek-llm, which is not one that is converted"):
        from_gguf.convert(foreign, tmp_path)
    lacking = _write(tmp_path / "lacking.gguf", skip="blk.1.ffn_up")
    with pytest.raises(ModelError, match=r"no tensor for model\.layers\.1\.mlp\.up_proj\.weight"):
        from_gguf.convert(lacking, tmp_path)


def test_without_the_package_it_says_what_to_install(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingDataError, match=r"pip install 'smc-bench\[gguf\]'"):
        from_gguf.convert(source, tmp_path)
