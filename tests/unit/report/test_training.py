"""Curves of training as a cell's folder holds them."""

from __future__ import annotations

import json
from pathlib import Path

from smc_bench.report.data.training import reached, steps


def log(path: Path, numbers: list[int], **more: object) -> None:
    with path.open("a") as file:
        for step in numbers:
            line = {"phase": "train", "step": step, "loss": 1.0 / step, "lr": 0.1} | more
            file.write(json.dumps(line) + "\n")


def test_steps_taken_again_count_as_they_were_taken_last(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    log(path, [1, 2, 3, 4])
    log(path, [3, 4, 5], loss=9.0)
    found = steps(path)
    assert [step.step for step in found] == [1, 2, 3, 4, 5]
    assert [step.loss for step in found] == [1.0, 0.5, 9.0, 9.0, 9.0]


def test_a_long_log_keeps_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    log(path, list(range(1, 5001)))
    found = steps(path, most=50)
    assert len(found) == 50
    assert (found[0].step, found[-1].step) == (1, 5000)


def test_what_is_no_step_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    assert steps(path) == []
    log(path, [1])
    log(path, [7], phase="evaluate")
    infinite = b'{"step": 2, "loss": NaN}\n{"step": 3, "lr": 1e999}\n{"step": 1e999}\n'
    torn = b'{"step": "x"}\n[1]\nnull\n\xff\n{"phase": "tra'
    path.write_bytes(path.read_bytes() + infinite + torn)
    assert [step.step for step in steps(path)] == [1]


def test_sparsity_goes_up_in_steps() -> None:
    events = [{"step": 10.0, "target": 0.5, "scope": 0.4}, {"step": 20.0, "target": 0.9}]
    assert reached(events, 30) == [
        (0.0, 0.0), (10.0, 0.0), (10.0, 0.4), (20.0, 0.4), (20.0, 0.9), (30.0, 0.9),
    ]  # fmt: skip
