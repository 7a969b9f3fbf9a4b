"""Parameters and FLOPs against counts and a closed form that were worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.errors import ModelError
from smc_bench.models.cost import PARTS, component_costs

BERT, ROBERTA = "google-bert/bert-base-uncased", "FacebookAI/roberta-large"


@pytest.mark.parametrize("length", [128, 384])
def test_bert_base_on_squad(length: int) -> None:
    costs = component_costs(BERT, "span", 2, length)
    assert costs["embeddings"].parameters == 23_837_184
    assert costs["encoder"].parameters == 85_054_464
    assert costs["encoder"].prunable == 84_934_656
    assert costs["head"].parameters == 1_538
    assert costs["pooler"].parameters == 0  # transformers' QA model has none
    # A linear layer of w weights: 2 w L. Scores and context of attention: 2 products of L x L x 768
    # in each of 12 layers. QA head: 768 x 2 weights a token.
    linear, attention = 2 * 84_934_656 * length, 12 * 2 * 2 * length * length * 768
    assert costs["encoder"].flops == linear + attention
    assert costs["head"].flops == 2 * 768 * 2 * length
    assert costs["embeddings"].flops == 0
    total = sum(cost.flops for cost in costs.values())
    assert costs["encoder"].flops / total > 0.9999
    expected = {128: (21.74, 0.60), 384: (65.23, 5.44)}[length]
    assert (linear / 1e9, attention / 1e9) == pytest.approx(expected, abs=6e-3)


def test_bert_base_with_pooler() -> None:
    costs = component_costs(BERT, "classification", 3, 128)
    assert costs["pooler"].parameters == 590_592
    parameters = {part: cost.parameters for part, cost in costs.items()}
    assert sum(parameters.values()) - parameters["head"] == 109_482_240
    assert parameters["head"] == 3 * 768 + 3
    assert costs["pooler"].flops + costs["head"].flops == pytest.approx(1.18e6, rel=5e-3)


def test_roberta_large() -> None:
    costs = component_costs(ROBERTA, "multiple_choice", 5, 128)
    assert costs["encoder"].parameters == 302_309_376
    assert costs["encoder"].prunable == 301_989_888
    assert costs["embeddings"].prunable == 51_471_360 + 526_336 + 1024  # one token type
    body = costs["embeddings"].parameters + costs["encoder"].parameters
    assert body == 354_310_144
    # SMC-Bench's masked set, whose model has no token types.
    assert sum(cost.prunable for cost in costs.values()) - 1024 == 355_037_184
    assert costs["encoder"].flops == 2 * 301_989_888 * 128 + 24 * 2 * 2 * 128 * 128 * 1024


def test_time_is_measured_by_component(tiny_model: Path) -> None:
    costs = component_costs(str(tiny_model), "span", 2, 16, ("cpu", 2, 3))
    taken = [costs[part].milliseconds for part in PARTS]
    assert all(value is not None and value >= 0.0 for value in taken)
    assert (costs["encoder"].milliseconds or 0.0) > 0.0


def test_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="nor a folder"):
        component_costs("nobody/nothing", "span", 2, 16)


def test_the_verb_prints_shares() -> None:
    done = CliRunner().invoke(cli, ["cost", "--model", BERT, "--task", "squad"])
    assert done.exit_code == 0, done.output
    assert "| encoder | 85,054,464 | 78.108" in done.output
    assert "99.998" in done.output


def test_minilm_by_its_alias() -> None:
    costs = component_costs("minilm-l6", "span", 2, 128)
    # 6 layers of 4 d^2 + 2 d (4 d) weights, d = 384; tables and LayerNorm.
    assert costs["encoder"].prunable == 6 * (4 * 384**2 + 2 * 384 * 1536)
    assert costs["embeddings"].parameters == (30522 + 512 + 2 + 2) * 384


@pytest.mark.parametrize(
    ("model", "published"),
    [
        # Parameters as the Hub's safetensors have them; a tied output layer counts once.
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008),
        ("openai-community/gpt2", 124_439_808),
        ("google-t5/t5-small", 60_506_624),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("paraphrase-minilm-l3", 17_389_824),
    ],
)
def test_known_models_have_their_published_size(model: str, published: int) -> None:
    costs = component_costs(model, "classification", 2, 16)
    head = costs["head"].parameters
    assert sum(cost.parameters for cost in costs.values()) - head == published


def test_smollm2_by_its_alias() -> None:
    costs = component_costs("smollm2-135m", "classification", 2, 128)
    assert costs == component_costs("HuggingFaceTB/SmolLM2-135M", "classification", 2, 128)
    # 30 layers: q and o, k and v of 3 of 9 heads, three matrices of the feed-forward layer.
    weights = 30 * (2 * 576**2 + 2 * 576 * 192 + 3 * 576 * 1536)
    attention = 30 * 4 * 128**2 * 576
    assert costs["encoder"].prunable == weights
    assert costs["encoder"].flops == 2 * 128 * weights + attention
