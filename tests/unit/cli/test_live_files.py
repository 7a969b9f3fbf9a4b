"""The progress line, from files that may be torn or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.cli.live import describe, last_line
from smc_bench.store.store import CellFolder
from smc_bench.suite.cell import Cell
from tests.unit.suite.test_identity import BASE

GOOD = '{"phase": "train", "step": 3, "total": 9, "loss": 0.5, "sparsity": 0.25}'


def test_the_last_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(f"{GOOD}\n")
    text = describe(Cell.model_validate(BASE), CellFolder(tmp_path))
    assert text.endswith(" train 3/9 loss 0.500 sparsity 0.25")


@pytest.mark.parametrize(
    "line",
    [
        *("", "5", "[]", "null", "{}", '{"phase": "train"}', GOOD[:-9], "[" * 3000, '"phase"'),
        *(GOOD.replace("0.5", '"x"'), GOOD.replace("9", "null")),
    ],
)
def test_a_line_that_says_nothing_ends_no_run(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(f"{GOOD}\n{line or '{'}\n")
    assert last_line(path) == {}
    assert describe(Cell.model_validate(BASE), CellFolder(tmp_path)).endswith(" starting")
