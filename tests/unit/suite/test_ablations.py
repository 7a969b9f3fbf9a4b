from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smc_bench.engine.recipe import Recipe
from smc_bench.errors import SuiteError
from smc_bench.suite.load import load_suite

SUITE = """
name: one
title: One
tasks: [squad]
model: google-bert/bert-base-uncased
sparsity: [0.8]
seeds: [1]
baseline: guidelines
"""


def arms(tmp_path: Path, text: str, profile: str | None = None) -> dict[str, Recipe]:
    path = tmp_path / "one.yaml"
    path.write_text(SUITE + text)
    return load_suite(path, profile).recipes["squad"].arms


def different(one: Recipe, other: Recipe) -> set[str]:
    left, right = one.model_dump(), other.model_dump()
    found = {key for key in left if left[key] != right[key]}
    if "train" in found and one.train.duration != other.train.duration:
        same = one.train.model_copy(update={"duration": other.train.duration})
        found = (found - {"train"}) | {"duration"} | ({"train"} if same != other.train else set())
    return found


SCHEDULES = {"sparsity_schedule", "lr_schedule", "duration"}


def test_leave_one_out(tmp_path: Path) -> None:
    found = arms(tmp_path, "arms: {leave_one_out: guidelines, against: smc, smc: {recipe: smc}}")
    base, smc = found["guidelines"], found["smc"]
    assert list(found) == [
        "guidelines", "guidelines - schedules", "guidelines - scope",
        "guidelines - distillation", "smc",
    ]  # fmt: skip
    assert different(base, found["guidelines - scope"]) == {"scope"}
    assert different(base, found["guidelines - distillation"]) == {"distillation"}
    assert different(base, found["guidelines - schedules"]) == SCHEDULES
    assert found["guidelines - scope"].scope == ("embeddings", "encoder", "head")
    assert found["guidelines - distillation"].distillation is None
    assert found["guidelines - schedules"].lr_schedule == smc.lr_schedule
    assert found["guidelines - schedules"].train.duration == "3000it"
    assert found["guidelines - schedules"].train.batch == base.train.batch


def test_add_one_in(tmp_path: Path) -> None:
    found = arms(tmp_path, "arms: {add_one_in: guidelines, against: smc, g: {recipe: guidelines}}")
    smc, guidelines = found["smc"], found["g"]
    assert different(smc, found["smc + scope"]) == {"scope"}
    assert different(smc, found["smc + distillation"]) == {"distillation"}
    assert different(smc, found["smc + schedules"]) == SCHEDULES
    assert found["smc + schedules"].sparsity_schedule == guidelines.sparsity_schedule
    assert found["smc + schedules"].train.duration == "scaled"


def test_profiles_and_their_patches(tmp_path: Path) -> None:
    text = """
arms: {guidelines: {}}
profiles:
  small:
    arms: {leave_one_out: guidelines, add_one_in: guidelines, against: smc}
    recipes: {smc: {train: {duration: 2500it}}}
"""
    assert list(arms(tmp_path, text)) == ["guidelines"]
    found = arms(tmp_path, text, "small")
    assert len(found) == 8
    assert found["guidelines - schedules"].train.duration == "2500it"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"leave_one_out": "guidelines"}, "one.yaml:9: arms: the key 'against' is missing"),
        ({"against": "smc"}, "one.yaml:11: arms.against: needs leave_one_out or add_one_in"),
        (
            {"leave_one_out": 3, "against": "smc"},
            "one.yaml:10: arms.leave_one_out: must be the name of a recipe",
        ),
        (
            {"leave_one_out": "guidlines", "against": "smc"},
            "one.yaml:10: arms.guidlines.recipe: unknown recipe 'guidlines'; did you mean 'guid",
        ),
        (
            {"leave_one_out": "guidelines", "against": "smk"},
            "one.yaml:10: arms.guidelines - schedules.take.schedules: unknown recipe 'smk'",
        ),
        (
            {"leave_one_out": "guidelines", "against": "smc", "guidelines": {}},
            "one.yaml:12: arms.guidelines: is also the name of a generated arm",
        ),
        (
            {"leave_one_out": "smc", "against": "smc", "x": {"take": {"scop": "smc"}}},
            "one.yaml:12: arms.x.take.scop: unknown guideline 'scop'; did you mean 'scope'",
        ),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, value: dict[str, Any], message: str) -> None:
    keys = [
        "leave_one_out",
        "against",
        *(k for k in value if k not in ("leave_one_out", "against")),
    ]
    lines = [f"  {k}: {value[k]}".replace("'", "") if k in value else "" for k in keys]
    with pytest.raises(SuiteError, match=message):
        arms(tmp_path, "\n".join(["arms:", *lines]))
