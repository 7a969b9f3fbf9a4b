from __future__ import annotations

import json
from pathlib import Path

import pytest

from smc_bench.dispatch.inputs import precision
from smc_bench.errors import StoreError
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.suite.overrides import parse_overrides
from tests.helpers.pins import AnyPins

SUITE = Path(__file__).parents[3] / "suites" / "methods.yaml"


def test_auto_is_replaced_before_a_cell_gets_its_identity() -> None:
    written = load_suite(SUITE, "laptop")
    by_hand = load_suite(SUITE, "laptop", parse_overrides(("train.precision=bf16",)))
    cells = expand(written, AnyPins("bf16")).cells
    assert cells.keys() == expand(by_hand, AnyPins(None)).cells.keys()
    assert all(cell.resolved for cell in cells.values())
    assert cells.keys().isdisjoint(expand(written, AnyPins("fp32")).cells)


def test_before_it_was_measured_cells_are_not_resolved() -> None:
    cells = expand(load_suite(SUITE, "laptop"), AnyPins(None)).cells.values()
    assert not any(cell.resolved for cell in cells)


def test_it_is_measured_once_for_a_results_folder(tmp_path: Path) -> None:
    assert precision.stored(tmp_path) is None
    found = precision.choose(tmp_path)
    written = json.loads((tmp_path / precision.FILE).read_text())
    gain = written["fp32_ms"] / written["bf16_ms"]
    assert found == written["choice"] == ("bf16" if gain >= 1.15 else "fp32")
    other = "fp32" if found == "bf16" else "bf16"
    (tmp_path / precision.FILE).write_text(json.dumps(written | {"choice": other}))
    assert precision.choose(tmp_path) == precision.stored(tmp_path) == other


def test_a_damaged_choice_is_named(tmp_path: Path) -> None:
    (tmp_path / precision.FILE).write_text('{"choice": "int8"}')
    with pytest.raises(StoreError, match=r"precision\.json.*int8"):
        precision.stored(tmp_path)


@pytest.mark.parametrize("text", ["[]", "null", "3", '{"choice": ["fp32"]}'])
def test_a_choice_that_is_no_choice_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / precision.FILE).write_text(text)
    with pytest.raises(StoreError, match=r"precision\.json"):
        precision.stored(tmp_path)
