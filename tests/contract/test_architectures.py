"""What every row of the table of architectures must keep; a new row is found by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.audit import Claims, audit, read_weights, zeros_by_tensor
from smc_bench.errors import Interrupted, ModelError
from smc_bench.models.architecture import ARCHITECTURES
from smc_bench.models.components import component_map, pooler_prefixes
from smc_bench.models.conv1d import as_stored, save_model
from smc_bench.models.fit import check_forward, check_length, check_tokenizer
from smc_bench.models.heads import model_class
from smc_bench.models.load import load_model, load_tokenizer
from smc_bench.tasks.base import Feature, Head
from tests.helpers.architectures import tiny_config, tiny_folder, tiny_model
from tests.helpers.engine import MemoryContext, recipe, trainer

KINDS = sorted(ARCHITECTURES)
# Their tables of positions are pruned with the embeddings, as in all records so far.
EARLIER = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet")
ENCODERS = [kind for kind in KINDS if ARCHITECTURES[kind].kind == "encoder"]
OTHERS = [kind for kind in KINDS if kind not in ENCODERS]
WITH_HEADS = [
    (kind, head)
    for kind in KINDS
    for head in ("sequence_classification", "multiple_choice", "question_answering")
    if ARCHITECTURES[kind].kind != "decoder" or head != "question_answering"
]


def features_of(head: Head, count: int = 6) -> list[Feature]:
    """Texts of 3 to 24 tokens that begin and end as an encoder's and T5's do."""
    rng = np.random.default_rng(3)

    def ids() -> list[int]:
        return [2, *(int(i) for i in rng.integers(5, 50, size=int(rng.integers(1, 23)))), 3]

    found: list[Feature] = []
    for index in range(count):
        if head == "multiple_choice":
            found.append({"input_ids": [ids() for _ in range(3)], "label": index % 3})
        elif head == "question_answering":
            found.append({"input_ids": ids(), "start": 1, "end": 2})
        else:
            found.append({"input_ids": ids(), "label": index % 3})
        found[-1]["example"] = index
    return found


def by_itself(model: Any, head: Head, feature: Feature) -> list[torch.Tensor]:
    """What transformers' own forward says of one sequence alone, or of one after the other."""
    if head == "question_answering":
        outputs = model(input_ids=torch.tensor([feature["input_ids"]]))
        return [outputs.start_logits[0], outputs.end_logits[0]]
    if head == "sequence_classification":
        return [model(input_ids=torch.tensor([feature["input_ids"]])).logits[0]]
    inner = () if ARCHITECTURES[model.config.model_type].kind != "encoder" else (1,)
    scores = [
        model(input_ids=torch.tensor(ids).view(1, *inner, -1)).logits.flatten()
        for ids in feature["input_ids"]
    ]
    return [torch.cat(scores)]


def loss_by_itself(model: Any, head: Head, features: list[Feature]) -> torch.Tensor:
    keys = ("start", "end") if head == "question_answering" else ("label",)
    losses = [
        nn.functional.cross_entropy(logits, torch.tensor(feature[key]))
        for feature in features
        for key, logits in zip(keys, by_itself(model, head, feature), strict=True)
    ]
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("kind", "head"), WITH_HEADS)
def test_packed_and_padded_batches_are_single_sequences(kind: str, head: Head) -> None:
    """Logits and gradients in float64; the single sequences go through transformers' own head."""
    features = features_of(head)
    alone = tiny_model(kind, head).double()
    if ARCHITECTURES[kind].kind == "decoder":
        alone.config.pad_token_id = None  # so that its own head takes the last token, of one row
    loss = loss_by_itself(alone, head, features)
    loss.backward()
    gradients = {n: p.grad for n, p in alone.named_parameters() if p.grad is not None}
    expected = [by_itself(alone, head, feature) for feature in features]
    for padding in ("dynamic", "none"):
        model = tiny_model(kind, head).double()
        feed = Feed(model, head, 0, padding=padding)  # type: ignore[arg-type]
        assert feed.padding == padding or not ARCHITECTURES[kind].packable
        heads = feed.heads(feed.batch(features), autocast=False)
        for row, single in enumerate(expected):
            for ours, theirs in zip(heads, single, strict=True):
                torch.testing.assert_close(
                    ours.logits[row, : len(theirs)], theirs, rtol=1e-11, atol=1e-11
                )
        own = Objective(feed, features).task_loss(range(len(features)))
        torch.testing.assert_close(own, loss, rtol=1e-11, atol=1e-11)
        own.backward()
        for name, parameter in model.named_parameters():
            if name in gradients:
                torch.testing.assert_close(
                    parameter.grad, gradients[name], rtol=1e-9, atol=1e-11, msg=name
                )
            else:
                assert parameter.grad is None or not parameter.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_row_names_all_of_the_base_model(kind: str) -> None:
    model = tiny_model(kind, "sequence_classification")
    parts = component_map(model)
    base = f"{model.base_model_prefix}."
    inside = [n for n, _ in model.named_parameters() if n.startswith(base)]
    rest = [n for n, _ in model.named_parameters() if n not in inside]
    assert sum(parts.parameters.values()) == sum(p.numel() for p in model.parameters())
    # What is neither embeddings nor blocks is the pooler's, or outside of the base model.
    poolers = [n for n in inside if n.startswith(pooler_prefixes(model))]
    head = sum(dict(model.named_parameters())[n].numel() for n in (*rest, *poolers))
    assert parts.parameters["head"] == head
    assert all(parts.in_scope([component]) for component in ("embeddings", "encoder", "head"))
    modules = dict(model.named_modules())
    for name, component in parts.prunable.items():
        owner = modules[name.removesuffix(".weight")]
        assert isinstance(owner, nn.Linear if component == "encoder" else nn.Linear | nn.Embedding)
        assert "norm" not in name.lower()
    tables = ("position", "wpe", "relative", "rel_emb")
    assert kind in EARLIER or not [n for n in parts.prunable if any(t in n for t in tables)]


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_set_everywhere(kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(kind, tmp_path)
    model = load_model(folder, "sequence_classification", 2, seed=0, dropout=0.37)
    rates = {n: m.p for n, m in model.named_modules() if isinstance(m, nn.Dropout)}
    # seq_classif_dropout is a rate of its own that has never been replaced.
    rates.pop("dropout" if kind == "distilbert" else "", None)
    assert {rate for rate in rates.values() if rate != 0.37} == set()
    attention = [n for n in ARCHITECTURES[kind].dropout if getattr(model.config, n) == 0.37]
    assert attention == list(ARCHITECTURES[kind].dropout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_model_and_its_tokenizer_fit(kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(kind, tmp_path)
    tokenizer = load_tokenizer(folder)
    for head in (head for known, head in WITH_HEADS if known == kind):
        model = load_model(folder, head, 2, seed=0)  # type: ignore[arg-type]
        check_tokenizer(tokenizer, model.config, folder)
        check_length(model.config, 60, folder)
        check_forward(model, tokenizer, head, folder)  # type: ignore[arg-type]
        assert model.config.pad_token_id == tokenizer.pad_token_id
    first, second = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("a b", "c"))
    together = tokenizer("a b", "c")["input_ids"]
    assert [i for i in together if i in first + second] == first + second
    between = together[together.index(first[-1]) + 1 : together.index(second[0])]
    assert between, "nothing between the texts of a pair"
    assert len(together) == 3 + tokenizer.num_special_tokens_to_add(pair=True)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_body_may_be_missing(kind: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tiny_folder(kind, tmp_path) / "model.safetensors"
    weights = load_file(path)
    model = tiny_model(kind, "sequence_classification")
    name = next(n for n in reversed(component_map(model).in_scope(["encoder"])))
    own = name.removeprefix(f"{model.base_model_prefix}.")
    del weights[own if own in weights else name]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"not there, the first is|is not there, though"):
        load_model(tmp_path, "sequence_classification", 2, seed=0)


@pytest.mark.parametrize("kind", [k for k in KINDS if ARCHITECTURES[k].kind == "decoder"])
def test_decoders_mark_no_spans(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"'{kind}' is that of a decoder.*marks no spans"):
        load_model(tiny_folder(kind, tmp_path), "question_answering", 2, seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_pruned_saved_and_resumed_to_the_bit(kind: str, tmp_path: Path) -> None:
    """Trained with a stop in between; the saved file, read by transformers' own class, agrees."""
    settings = recipe(
        sparsity_schedule={"kind": "one_shot", "at": "2it"},
        train={"duration": "4it", "batch": 6, "clip": None},
    )

    def run(folder: Path, stop_after: int | None = None) -> Any:
        model = tiny_model(kind, "sequence_classification", 2)
        return trainer(model, settings, 0.5, MemoryContext(folder, stop_after))

    whole = run(tmp_path / "whole")
    born = zeros_by_tensor(dict(whole.raw.named_parameters()), whole.pruner.parts)
    whole.run()
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", 3).run()
    resumed = run(tmp_path / "cut")
    assert resumed.step == 3
    resumed.run()
    state, again = whole.raw.state_dict(), resumed.raw.state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)
    folder = tmp_path / "saved"
    save_model(whole.raw, folder)
    stored = read_weights(folder / "model.safetensors")
    weights, pruner = as_stored(whole.raw, stored), whole.pruner
    found = audit(weights, pruner.parts, settings, 0.5, born, Claims(pruner.masks))
    assert found.encoder.share == pytest.approx(0.5, abs=1e-3)
    ours = load_model(folder, "sequence_classification", 2, seed=9, finished=True)
    assert all(torch.equal(t, state[n]) for n, t in ours.state_dict().items())
    stock = model_class(ours.config, "sequence_classification").from_pretrained(folder).eval()
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    with torch.no_grad():
        torch.testing.assert_close(stock(input_ids=ids).logits, ours.eval()(input_ids=ids).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_costs_add_up(kind: str, tmp_path: Path) -> None:
    from smc_bench.models.cost import component_costs

    tiny_config(kind).save_pretrained(tmp_path)
    model = tiny_model(kind, "sequence_classification", 2)
    costs = component_costs(str(tmp_path), "classification", 2, 10)
    assert sum(c.parameters for c in costs.values()) == sum(p.numel() for p in model.parameters())
    assert costs["encoder"].parameters == component_map(model).parameters["encoder"]
    # A multiply and an add for each weight of the blocks and each token, and attention's products.
    calls = 2 if kind == "albert" else 1
    least = 2 * 10 * calls * costs["encoder"].prunable
    assert least < costs["encoder"].flops
    # DeBERTa also projects its table of relative positions, in every layer.
    assert kind == "deberta-v2" or costs["encoder"].flops < 1.5 * least
