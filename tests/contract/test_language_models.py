"""What every decoder and encoder-decoder must keep as a language model; new rows are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForQuestionAnswering

from smc_bench.engine.loss.model_inputs import Feed, Padding
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.loss.predict import predict
from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.engine.pruning.gates import gate_gradients
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.recipe import Distillation
from smc_bench.errors import ModelError
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.components import component_map
from smc_bench.models.conv1d import save_model
from smc_bench.models.cost import component_costs
from smc_bench.models.fit import check_forward
from smc_bench.models.heads import model_class
from smc_bench.models.load import load_model, load_tokenizer
from smc_bench.models.units import units
from smc_bench.tasks.base import Feature
from tests.helpers.architectures import tiny_config, tiny_folder, tiny_model, tiny_tokenizer

HEAD = "language_modelling"
KINDS = sorted(kind for kind, row in ARCHITECTURES.items() if row.kind != "encoder")
DECODERS = [kind for kind in KINDS if ARCHITECTURES[kind].kind == "decoder"]
PADDINGS: tuple[Padding, ...] = ("dynamic", "none")


def features(count: int = 6) -> list[Feature]:
    """Texts of 2 to 24 tokens, of which some are scored from their middle on."""
    rng = np.random.default_rng(3)
    found: list[Feature] = []
    for index in range(count):
        ids = [int(i) for i in rng.integers(5, 50, size=2 if index == 1 else rng.integers(4, 25))]
        start = len(ids) // 2 if index % 3 == 2 else 1
        found.append(
            {"input_ids": ids, "example": index, "scored_from": start, "read": len(ids) // 2}
        )
    return found


def alone(model: Any, feature: Feature) -> tuple[torch.Tensor, int]:
    """Summed loss of one text by transformers' own forward, and how many tokens are scored.

    (Its own loss would be in float32.)
    """
    ids = torch.tensor([feature["input_ids"]])
    if ARCHITECTURES[model.config.model_type].kind == "encoder-decoder":
        read, labels = ids[:, : feature["read"]], ids[:, feature["read"] :]
        logits = model(input_ids=read, labels=labels).logits[0]
    else:
        logits = model(input_ids=ids).logits[0, feature["scored_from"] - 1 : -1]
        labels = ids[:, feature["scored_from"] :]
    loss = torch.nn.functional.cross_entropy(logits, labels[0], reduction="sum")
    return loss, labels.shape[1]


def lm(kind: str, **more: Any) -> Any:
    return tiny_model(kind, HEAD, **more).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_batch_is_the_sum_of_single_texts(kind: str, tied: bool) -> None:
    """Loss, gradients and nats of each token's text in float64, packed and padded."""
    texts, single = features(), lm(kind, tie_word_embeddings=tied)
    sums, counts = zip(*(alone(single, text) for text in texts), strict=True)
    loss = torch.stack(sums).sum() / sum(counts)
    loss.backward()
    gradients = {n: p.grad for n, p in single.named_parameters() if p.grad is not None}
    for padding in PADDINGS:
        model = lm(kind, tie_word_embeddings=tied)
        feed = Feed(model, HEAD, 0, padding=padding)  # type: ignore[arg-type]
        assert feed.padding == padding or not ARCHITECTURES[kind].packable
        objective = Objective(feed, texts)
        own = objective.task_loss(range(len(texts)))
        torch.testing.assert_close(own, loss, rtol=1e-11, atol=1e-11)
        own.backward()
        for name, parameter in model.named_parameters():
            if name in gradients:
                torch.testing.assert_close(
                    parameter.grad, gradients[name], rtol=1e-9, atol=1e-11, msg=name
                )
        said = predict(feed, texts, 4)
        for (nats, peaks), expected, count in zip(said, sums, counts, strict=True):
            assert len(nats) == len(peaks) == count
            assert nats.sum() == pytest.approx(float(expected.detach()), rel=1e-10)
            assert (-nats <= peaks + 1e-12).all()
        # Parts of a batch, weighed by their tokens, are the batch: however it is cut.
        parts = [[0, 1], [2], [3, 4, 5]]
        shares = [objective.weight(part) / objective.weight(range(6)) for part in parts]
        cut = sum(s * objective.task_loss(part) for s, part in zip(shares, parts, strict=True))
        torch.testing.assert_close(cut, own, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hardness", [1.0, 0.3])
def test_distillation_is_the_mean_over_scored_tokens(kind: str, hardness: float) -> None:
    """Against a loop over tokens: T^2 sum_v p (log p - log q), of each text's own logits."""
    texts, temperature = features(), 5.5
    student, teacher = lm(kind), lm(kind)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    terms, hard = [], []
    for text in texts:
        ids = torch.tensor([text["input_ids"]])
        at = text["read"] if kind == "t5" else text["scored_from"]
        if kind == "t5":
            given = torch.cat([torch.zeros(1, 1, dtype=torch.long), ids[:, at:-1]], 1)
            both = [m(input_ids=ids[:, :at], decoder_input_ids=given) for m in (student, teacher)]
            ours, theirs = (outputs.logits[0] for outputs in both)
        else:
            ours, theirs = (m(input_ids=ids).logits[0, at - 1 : -1] for m in (student, teacher))
        for place, token in enumerate(text["input_ids"][at:]):
            p = torch.softmax(theirs[place].detach() / temperature, -1)
            q = torch.softmax(ours[place] / temperature, -1)
            terms.append(temperature**2 * (p * (p.log() - q.log())).sum())
            hard.append(-torch.softmax(ours[place], -1)[token].log())
    expected = hardness * torch.stack(terms).mean() + (1 - hardness) * torch.stack(hard).mean()
    expected.backward()
    gradients = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    for padding in PADDINGS:
        model = lm(kind)
        objective = Objective(
            Feed(model, HEAD, 0, padding=padding),  # type: ignore[arg-type]
            texts,
            distillation=Distillation(hardness=hardness, temperature=temperature),
            teacher=Feed(teacher.eval().requires_grad_(False), HEAD, 0, padding=padding),  # type: ignore[arg-type]
        )
        loss = objective.loss(range(len(texts)))
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
        loss.backward()
        for name, gradient in gradients.items():
            own = model.get_parameter(name).grad
            torch.testing.assert_close(own, gradient, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_of_real_tokens(kind: str) -> None:
    """E[x xT] of a batch, packed or padded, is that of single texts (cross-attention included)."""
    texts = features()
    found = []
    for padding, batch in (("none", 6), ("dynamic", 6), ("dynamic", 1)):
        model = lm(kind)
        objective = Objective(Feed(model, HEAD, 0, padding=padding), texts)  # type: ignore[arg-type]
        names = component_map(model).in_scope(["encoder"])
        count = len(texts) // batch
        found.append(Calibration(objective, 0, 0).input_moments(names, count, batch))
    for name, moments in found[2].items():
        for other in found[:2]:
            torch.testing.assert_close(other[name], moments, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("padding", PADDINGS)
def test_gates_are_of_each_texts_own_mean(padding: Padding) -> None:
    """However many texts a batch has, and however long the others are.

    LLaMA norms in float32 whatever the model is: shares that are powers of two round nothing.
    """
    sizes = (1, 2, 4, 8, 16, 1)
    ids = [[5 + (3 * n + i) % 40 for i in range(n + 1)] for n in sizes]
    texts = [{"input_ids": some, "example": i, "scored_from": 1} for i, some in enumerate(ids)]
    model = lm("llama")
    grouped = ModelUnits(units(model, ["head", "neuron"]))
    objective = Objective(Feed(model, HEAD, 0, padding=padding), texts)  # type: ignore[arg-type]
    together = gate_gradients(objective, grouped, range(len(texts)))
    for row in range(len(texts)):
        single = gate_gradients(objective, grouped, [row])
        for name, found in single.items():
            torch.testing.assert_close(together[name][row], found[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tied_head_is_pruned_with_embeddings_or_not_at_all(kind: str) -> None:
    parts = component_map(lm(kind, tie_word_embeddings=True))
    assert parts.tied, "this test needs a tied head"
    with pytest.raises(ModelError, match=r"is tied to lm_head\.weight"):
        parts.in_scope(["encoder", "embeddings"])
    assert set(parts.in_scope(["encoder"])) == {
        name for name, component in parts.prunable.items() if component == "encoder"
    }
    both = parts.in_scope(["embeddings", "encoder", "head"])
    assert len(both) == len(set(both)) == len(parts.prunable)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_head_is_the_folders_own(kind: str, tied: bool, tmp_path: Path) -> None:
    """Loaded and saved again, to the bit; nothing depends on the seed."""
    config = tiny_config(kind, tie_word_embeddings=tied)
    torch.manual_seed(4)
    stock = model_class(config, HEAD).from_config(config).eval()  # type: ignore[arg-type]
    stock.save_pretrained(tmp_path / "first")
    tiny_tokenizer(kind).save_pretrained(tmp_path / "first")
    ids = torch.tensor([[7, 8, 9, 3]])
    given = {"input_ids": ids} | ({"decoder_input_ids": ids} if kind == "t5" else {})
    model = load_model(tmp_path / "first", HEAD, 1, seed=1)  # type: ignore[arg-type]
    check_forward(model, load_tokenizer(tmp_path / "first"), HEAD, tmp_path)  # type: ignore[arg-type]
    save_model(model, tmp_path / "second")
    tiny_tokenizer(kind).save_pretrained(tmp_path / "second")
    again = load_model(tmp_path / "second", HEAD, 1, seed=2, finished=True)  # type: ignore[arg-type]
    own = model_class(config, HEAD).from_pretrained(tmp_path / "second").eval()  # type: ignore[arg-type]
    with torch.no_grad():
        expected = stock(**given).logits
        for loaded in (model, again, own):
            torch.testing.assert_close(loaded.eval()(**given).logits, expected)
    pairs = zip(model.state_dict().items(), again.state_dict().values(), strict=True)
    assert all(torch.equal(tensor, other) for (_, tensor), other in pairs)


@pytest.mark.parametrize("kind", DECODERS)
def test_a_base_model_has_no_head_to_write_with(kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(kind, tmp_path, tie_word_embeddings=False)
    with pytest.raises(ModelError, match="no head of a language model"):
        load_model(folder, HEAD, 1, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [k for k, row in ARCHITECTURES.items() if row.kind == "encoder"])
def test_encoders_write_nothing(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"'{kind}' is that of an encoder, which writes no text"):
        load_model(tiny_folder(kind, tmp_path), HEAD, 1, seed=0)  # type: ignore[arg-type]


def test_why_decoders_mark_no_spans(tmp_path: Path) -> None:
    """The trap: transformers' class takes LLaMA's checkpoint, and takes nothing from it."""
    config = tiny_config("llama")
    model_class(config, HEAD).from_config(config).save_pretrained(tmp_path)  # type: ignore[arg-type]
    tiny_tokenizer("llama").save_pretrained(tmp_path)
    _, info = AutoModelForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    blocks = [name for name in info["missing_keys"] if ".layers." in name]
    assert len(blocks) == 9 * AutoConfig.from_pretrained(tmp_path).num_hidden_layers
    with pytest.raises(ModelError, match="marks no spans"):
        load_model(tmp_path, "question_answering", 2, seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_costs_add_up(kind: str, tmp_path: Path) -> None:
    tiny_config(kind).save_pretrained(tmp_path)
    model = tiny_model(kind, HEAD)  # type: ignore[arg-type]
    costs = component_costs(str(tmp_path), "language_modelling", 1, 10)
    assert sum(c.parameters for c in costs.values()) == sum(p.numel() for p in model.parameters())
    width = model.get_output_embeddings().weight.shape[1]
    assert costs["head"].flops == 2 * 10 * width * 50
