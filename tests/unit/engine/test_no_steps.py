"""Lengths of no step: an error with the key that says so, but where none is what is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.no_steps import NoStepsError, check_lengths
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.suite.load import load_suite

RAMP = {"kind": "ramp", "start": "1it", "end": "4it", "every": "1it"}
SCALED = {"kind": "scaled", "start": "1ep", "cycle": "1ep"}
ROUNDS = {"kind": "rounds", "round": "5it"}
ONE_SHOT = {"kind": "one_shot", "at": "0it"}
FINISHED = {"duration": "0it", "batch": 8, "start_from": "teacher"}


def recipe(schedule: Any, duration: Any = "6it", **changes: Any) -> Recipe:
    base: dict[str, Any] = {
        "lr_schedule": {"kind": "linear", "peak": 1.0},
        "train": {"duration": duration, "batch": 8},
        "sparsity_schedule": schedule,
    }
    return Recipe.model_validate(base | changes)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (recipe(None, "0.01ep"), "train.duration"),  # a tenth of a step
        (recipe(RAMP | {"start": "0it", "end": "0it"}, "0it"), "train.duration"),
        (recipe(ONE_SHOT, "0it"), "train.duration"),  # of a head that nobody has trained
        (recipe(ONE_SHOT, train=FINISHED | {"duration": "0.01ep"}), "train.duration"),
        (
            recipe(ONE_SHOT, train=FINISHED, regrowth={"every": "1it"}),
            "train.duration",
        ),
        (recipe(RAMP | {"every": "0it"}), "sparsity_schedule.every"),
        (recipe(RAMP | {"every": "1%"}), "sparsity_schedule.every"),
        (recipe(SCALED | {"cycle": "0ep"}, "scaled"), "sparsity_schedule.cycle"),
        (recipe(SCALED | {"cycle": "0.01ep"}, "scaled"), "sparsity_schedule.cycle"),
        (recipe(ROUNDS | {"round": "0it"}, "scaled"), "sparsity_schedule.round"),
        (recipe(RAMP, {"batch": 4, "length": "0it"}), "train.duration"),
        (recipe(RAMP, {"batch": 4, "length": ROUNDS | {"round": "0it"}}), "train.duration.round"),
        (recipe(ONE_SHOT, regrowth={"every": "0it"}), "regrowth.every"),
        (recipe(ONE_SHOT, regrowth={"every": "1it", "until": "0%"}), "regrowth.until"),
        (
            recipe(RAMP, lr_schedule={"kind": "rewind", "peak": 1.0, "period": "0ep"}),
            "lr_schedule.period",
        ),
    ],
)
def test_no_step_is_an_error_with_its_key(settings: Recipe, key: str) -> None:
    with pytest.raises(NoStepsError) as error:
        build_timeline(settings, 0.5, 80)
    assert ".".join(error.value.key) == key
    assert str(error.value).startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (recipe(ONE_SHOT, train=FINISHED), 0),
        (recipe(None, "0it"), 0),  # a language model as it was pretrained
        (recipe(None, "0.0ep"), 0),
        (recipe(ONE_SHOT, train=FINISHED | {"duration": "0ep"}), 0),
        (recipe(RAMP | {"start": "0it"}), 6),
        (recipe(SCALED | {"start": "0ep"}, "scaled"), 10),
        (recipe(None, "6it", lr_schedule={"kind": "linear", "peak": 1.0, "warmup": "0it"}), 6),
        (recipe(ONE_SHOT), 6),
    ],
)
def test_nothing_at_all_is_allowed_where_it_is_meant(settings: Recipe, steps: int) -> None:
    assert build_timeline(settings, 0.5, 80).total_steps == steps


@pytest.mark.parametrize("duration", ["0it", "0ep", "0.0ep"])
def test_a_model_whose_head_is_new_has_to_be_trained(duration: str) -> None:
    with pytest.raises(NoStepsError) as error:
        check_lengths(recipe(None, duration), 80, new_head=True)
    assert error.value.key == ("train", "duration")


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_one_shot_suites_stand(profile: str) -> None:
    loaded = load_suite(Path("suites/one_shot.yaml"), profile)
    untrained = [r for arm in loaded.recipes.values() for r in arm.arms.values()]
    assert any(r.train.duration == "0it" for r in untrained)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("dense: {train: {duration: 3ep}", "dense: {train: {duration: 0it}", "train.duration"),
        ("train: {duration: 3ep}\n", "train: {duration: 0ep}\n", "train.duration"),
        ("cycle: 1ep", "cycle: 0it", "sparsity_schedule.cycle"),
        ("cycle: 1ep", "cycle: 0.00001ep", "sparsity_schedule.cycle"),
        ("every: 25%", "every: 0it", "sparsity_schedule.every"),
    ],
)
def test_check_names_file_line_and_key(suite_file: Path, old: str, new: str, key: str) -> None:
    text = suite_file.read_text()
    assert old in text
    text = text.replace(old, new)
    suite_file.write_text(text)
    line = next(i for i, found in enumerate(text.split("\n"), 1) if new.strip() in found)
    result = CliRunner().invoke(cli, ["check", str(suite_file), "--profile", "laptop"])
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert f"{suite_file}:{line}: " in result.output
    assert f"{key}: " in result.output
