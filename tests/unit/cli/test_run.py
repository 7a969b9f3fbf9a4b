from __future__ import annotations

from typing import Any

import pytest

from smc_bench.cli import run
from smc_bench.suite.cell import Cell
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
    monkeypatch.setattr(run, "processor_flags", lambda: frozenset(flags))
    run._warn_of_slow_bf16({cell.id: cell})
    assert ("train.precision=fp32" in capsys.readouterr().err) == warned
