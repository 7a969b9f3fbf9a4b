from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.models.cost import component_costs
from smc_bench.suite.card import Card, Rate
from smc_bench.suite.estimate import ENCODERS, REASON, gpu_hours, needs_gpu, reason, total_gpu_hours
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from tests.helpers.pins import NoPins

SUITES = Path(__file__).parents[3] / "suites"


@pytest.mark.parametrize("model", sorted(ENCODERS))
def test_forward_flops_equal_torch_s_counter(model: str) -> None:
    counted = component_costs(model, "regression", 1, 96)["encoder"].flops
    assert ENCODERS[model].forward_flops(96) == counted


def test_hours_of_a_published_run_by_hand() -> None:
    plan = expand(load_suite(SUITES / "table2.yaml"), NoPins())
    one = next(e for e in plan.entries if e.arm == "GMP, 30 epochs" and e.cell.task.name == "squad")
    # 30 epochs of 5475 steps of 16 sequences of 384 tokens: 70.67 GFLOP forward, three times that.
    expected = 30 * 5475 * 16 * 3 * 70.67e9 / 100e12 / 3600
    assert gpu_hours(one.cell) == pytest.approx(expected, rel=1e-3)
    obert = next(
        e for e in plan.entries if e.arm == "oBERT, 30 epochs" and e.cell.task.name == "squad"
    )
    more = 7 * 1024 * 8 * 3 * 70.67e9 / 100e12 / 3600
    assert gpu_hours(obert.cell) == pytest.approx(expected + more, rel=1e-3)


def card(model: str, precision: str, steps_per_second: float) -> Card:
    """A card on which 32 sequences of 384 tokens a step were measured."""
    rate = Rate(
        model=model, precision=precision, batch=32, steps_per_second=steps_per_second,
        tokens=32 * 384, squares=32 * 384**2, memory=1,
    )  # fmt: skip
    return Card(name="NVIDIA A", driver=None, torch="2", measured="now", rates=(rate,))


def test_a_measured_rate_of_the_same_length_is_steps_over_steps_a_second() -> None:
    plan = expand(load_suite(SUITES / "table2.yaml"), NoPins())
    one = next(e for e in plan.entries if e.arm == "GMP, 30 epochs" and e.cell.task.name == "squad")
    assert one.cell.recipe.train.precision == "fp16"
    measured = card("google-bert/bert-base-uncased", "fp16", 4.0)
    # 4 steps of 32 sequences a second; a step of the cell has 16.
    assert gpu_hours(one.cell, measured) == pytest.approx(30 * 5475 * 16 / (4.0 * 32) / 3600)
    assert "measured on NVIDIA A" in reason([one.cell], measured)
    # Of another precision or model nothing is known.
    for other in (
        card("google-bert/bert-base-uncased", "bf16", 4.0),
        card("FacebookAI/roberta-large", "fp16", 4.0),
    ):
        assert gpu_hours(one.cell, other) == gpu_hours(one.cell)
        assert reason([one.cell], other).startswith(REASON)


def test_unknown_models_have_no_estimate() -> None:
    plan = expand(load_suite(SUITES / "table2.yaml", "laptop"), NoPins())
    assert total_gpu_hours(plan.cells.values()) is None


@pytest.mark.parametrize(
    ("model", "needed"),
    [
        ("minilm-l6", False),
        ("./tiny-bert", False),
        ("sentence-transformers/all-MiniLM-L6-v2", False),
        ("prajjwal1/bert-tiny", False),
        ("database/embaselarge", False),
        ("google-bert/bert-base-uncased", True),
        ("FacebookAI/roberta-large", True),
        ("microsoft/deberta-v2-xxlarge", True),
        ("Qwen/Qwen2.5-0.5B", True),
    ],
)
def test_which_names_speak_of_a_size_that_needs_a_gpu(model: str, needed: bool) -> None:
    assert needs_gpu(model) == needed
