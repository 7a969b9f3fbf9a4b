"""The models that ``inference.py`` times: dense and pruned by magnitude, as ONNX of one shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from smc_bench.engine.pruning.masks import apply_masks, update_masks
from smc_bench.export.onnx import write_onnx
from smc_bench.models.components import component_map
from smc_bench.models.load import load_model
from smc_bench.sources import Lock, Roots, weights

# DeepSparse 1.8 reads nothing newer, and the others are as fast on it.
OPSET = 14
MODELS = ("minilm-l6", "bert-base")


@dataclass(frozen=True)
class Variant:
    """How much of the encoder, and of the word and position tables, is zero."""

    encoder: float = 0.0
    embeddings: float = 0.0
    again: bool = False

    @property
    def name(self) -> str:
        """What tables call it."""
        if not self.encoder and not self.embeddings:
            return "dense, again" if self.again else "dense"
        parts = {"encoder": self.encoder, "embeddings": self.embeddings}
        return " + ".join(f"{part} {100 * share:g} %" for part, share in parts.items() if share)


DENSE = Variant()
VARIANTS = (
    DENSE,
    Variant(again=True),
    Variant(0.8),
    Variant(0.9),
    Variant(0.95),
    Variant(0.975),
    Variant(0.0, 0.9),
    Variant(0.9, 0.9),
    Variant(0.975, 0.975),
)


# All nine of BERT-base in five engines need more than 24 GB; these fit at batch 1.
FEWER = tuple(v for v in VARIANTS if v.encoder in (0.0, 0.9) or v == Variant(0.975))


def variants_of(name: str) -> tuple[Variant, ...]:
    """What is timed of a model."""
    return FEWER if name == "bert-base" else VARIANTS


def model_of(name: str) -> Any:
    """Real weights for MiniLM-L6, random ones in BERT-base's shape: speed asks for no others."""
    if name == "bert-base":
        torch.manual_seed(0)
        return BertForSequenceClassification(BertConfig()).eval()
    roots = Roots.from_environment()
    lock = Lock.load(roots.cache / "benchmarks-lock.json")
    reference = weights.ModelRef.parse(name)
    folder = weights.folder(reference, weights.fetch(reference, roots, lock), roots)
    return load_model(folder, "sequence_classification", 2, seed=0).eval()


def prune(model: nn.Module, variant: Variant) -> dict[str, float]:
    """Set the smallest weights of each part to zero; the shares that are zero afterwards."""
    parameters = dict(model.named_parameters())
    parts = component_map(model)
    tables = [n for n in parts.in_scope(["embeddings"]) if "token_type" not in n]
    chosen = {"encoder": parts.in_scope(["encoder"]), "embeddings": tables}
    for part, names in chosen.items():
        share = getattr(variant, part)
        if share:
            saliency = {name: parameters[name].detach().abs() for name in names}
            all_stay = {name: torch.ones_like(s, dtype=torch.bool) for name, s in saliency.items()}
            apply_masks(parameters, update_masks(saliency, all_stay, share))
    found = {}
    for part, names in chosen.items():
        zeros = sum(int((parameters[name] == 0).sum()) for name in names)
        found[part] = zeros / sum(parameters[name].numel() for name in names)
    return found


def inputs_of(batch: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
    """Full sequences of random ids: nothing to skip, the same for every engine."""
    random = np.random.default_rng(0)
    return {
        "input_ids": random.integers(1000, 30000, (batch, tokens)),
        "attention_mask": np.ones((batch, tokens), np.int64),
        "token_type_ids": np.zeros((batch, tokens), np.int64),
    }


def write_variants(
    name: str, variants: tuple[Variant, ...], batch: int, tokens: int, folder: Path
) -> Iterator[tuple[Variant, Path, dict[str, float], np.ndarray[Any, Any]]]:
    """Each variant's file, measured sparsity, and torch's logits of :func:`inputs_of`."""
    inputs = {key: torch.from_numpy(value) for key, value in inputs_of(batch, tokens).items()}
    for number, variant in enumerate(variants):
        model = model_of(name)
        measured = prune(model, variant)
        path = folder / f"{name}-{batch}-{number}.onnx"
        write_onnx(model, "sequence_classification", path, shape=(batch, tokens), opset=OPSET)
        with torch.no_grad():
            logits = model(**inputs).logits.numpy()
        del model
        yield variant, path, measured, logits
