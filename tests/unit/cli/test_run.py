from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from smc_bench.cli import before_run
from smc_bench.cli.before_run import refuse_paper_without_gpu, warn_of_slow_bf16, with_trackers
from smc_bench.engine.execution import Execution
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from tests.helpers.pins import NoPins
from tests.helpers.records import suite_file
from tests.unit.suite.test_identity import BASE, with_value


@pytest.mark.parametrize(
    ("flags", "precision", "warned"),
    [
        ({"avx2"}, "bf16", True),
        ({"avx2"}, "fp32", False),
        ({"avx2", "avx512_bf16"}, "bf16", False),
        ({"amx_bf16"}, "bf16", False),
        (set(), "bf16", False),
    ],
)
def test_emulated_bf16_is_said_before_it_costs_hours(
    flags: set[str],
    precision: str,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content: dict[str, Any] = with_value(BASE, "recipe.train.precision", precision)
    cell = Cell.model_validate(content)
    monkeypatch.setattr(before_run, "processor_flags", lambda: frozenset(flags))
    warn_of_slow_bf16({cell.id: cell})
    assert ("train.precision=fp32" in capsys.readouterr().err) == warned


def test_trackers_come_from_the_command_line_or_else_the_suite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else 1)
    suite = Execution(micro_batch=3, trackers=("trackio",))
    assert with_trackers(suite, ()) == suite
    chosen = with_trackers(suite, ("wandb", "mlflow"))
    assert chosen == Execution(micro_batch=3, trackers=("wandb", "mlflow"))
    said = capsys.readouterr().err
    assert "tracker wandb is not installed here: pip install 'smc-bench[wandb]'" in said
    assert "mlflow" not in said


@pytest.mark.parametrize(
    ("model", "profile", "code"),
    [
        ("minilm-l6", None, None),
        ("minilm-l6", "paper", None),
        ("google-bert/bert-base-uncased", None, 2),
        ("google-bert/bert-base-uncased", "default", None),
    ],
)
def test_a_suite_of_ones_own_runs_here_unless_its_model_is_large(
    tmp_path: Path, model: str, profile: str | None, code: int | None
) -> None:
    plan = expand(load_suite(suite_file(tmp_path, model=model), profile), NoPins())
    context = click.Context(click.Command("run"))
    context.params["profile"] = profile
    found = None
    with context:
        try:
            refuse_paper_without_gpu(plan, plan.cells)
        except SystemExit as left:
            found = left.code
    assert found == code
