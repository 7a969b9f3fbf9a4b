"""Progress, from files that may be torn or changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smc_bench.cli.live import describe
from smc_bench.dispatch.progress import progress_of
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
    assert progress_of(path) is None
    assert describe(Cell.model_validate(BASE), CellFolder(tmp_path)).endswith(" starting")


def written(path: Path, *lines: tuple[str, int, int, float]) -> Path:
    """Lines of phase, step, attempt and time."""
    rows = (
        {"phase": phase, "step": step, "total": 100, "attempt": attempt, "time": time}
        for phase, step, attempt, time in lines
    )
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_the_pace_is_that_of_the_last_lines_of_one_phase_and_attempt(tmp_path: Path) -> None:
    path = written(
        tmp_path / "train.jsonl",
        ("train", 90, 1, 0.0),  # an attempt that was lost
        ("evaluate", 1, 2, 999.0),
        ("train", 10, 2, 1000.0),
        ("train", 20, 2, 1003.0),
        ("train", 30, 2, 1010.0),
    )
    seen = progress_of(path)
    assert seen is not None
    assert seen.pace == pytest.approx(10.0 / 20.0)
    assert seen.share == pytest.approx(0.3)


def test_one_line_or_a_clock_set_back_gives_no_pace(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    for lines in ([("train", 5, 1, 7.0)], [("train", 5, 1, 7.0), ("train", 9, 1, 3.0)]):
        seen = progress_of(written(path, *lines))
        assert seen is not None
        assert seen.pace is None


def test_a_long_file_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    written(path, *(("train", step, 1, 2.0 * step) for step in range(5000)))
    seen = progress_of(path)
    assert seen is not None
    assert (seen.step, seen.pace) == (4999, pytest.approx(2.0))
