from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)

ROOT = Path(__file__).parent
WORDS = [
    "good",
    "bad",
    "fine",
    "poor",
    "the",
    "a",
    "film",
    "plot",
    "actor",
    "was",
    "is",
    "and",
    "very",
    "not",
    "q",
    ":",
    "a",
    "man",
    "ran",
    "home",
    "_",
    ".",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files stay whole where tests run in several processes, and there is one SLURM."""
    for item in items:
        folder = item.path.parent
        group = folder.name if folder.name == "slurm" else str(item.path.relative_to(ROOT))
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT with a word-level vocabulary, as a local model folder."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A local mirror with a sentiment task that one word decides."""
    root = tmp_path / "mirror"
    folder = root / "glue" / "sst2"
    folder.mkdir(parents=True)
    for split, count in (("train", 48), ("validation", 24)):
        rows = []
        for i in range(count):
            label = i % 2
            words = ["the", WORDS[4 + i % 6], "was", "good" if label else "bad", "."]
            rows.append({"sentence": " ".join(words), "label": label, "idx": i})
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return root


@pytest.fixture
def suite_file(tmp_path: Path, tiny_model: Path) -> Path:
    """A suite of one teacher and two arms that trains in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(f"""
name: tiny
title: Tiny
tasks: [{{name: sst2, max_length: 16}}]
model: {tiny_model}
sparsity: [0.5]
seeds: [1]
baseline: guidelines
default_profile: laptop
arms:
  plain: {{recipe: smc}}
  guided: {{}}
profiles:
  laptop:
    recipe: {{train: {{batch: 8}}}}
    recipes:
      dense: {{train: {{duration: 3ep}}, lr_schedule: {{peak: 1e-2}}}}
      smc:
        train: {{duration: 3ep}}
        sparsity_schedule: {{every: 25%}}
        lr_schedule: {{warmup: 0it}}
      guidelines: {{sparsity_schedule: {{start: 1ep, cycle: 1ep}}}}
""")
    return path
