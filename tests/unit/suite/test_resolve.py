from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.engine.recipe import EqualSteps, Recipe
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.errors import SuiteError
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.length import timeline_of
from smc_bench.suite.load import load_suite
from tests.helpers.pins import NoPins
from tests.unit.suite.test_identity import BASE, with_value

SUITE = """
name: one
title: One
model: google-bert/bert-base-uncased
sparsity: [0.8, 0.9]
seeds: [1]
baseline: guidelines
"""


TASKS = "tasks: [squad, mnli]\n"


def plan(tmp_path: Path, text: str, profile: str | None = None, tasks: str = TASKS) -> Plan:
    path = tmp_path / "one.yaml"
    path.write_text(SUITE + tasks + text)
    return expand(load_suite(path, profile), NoPins())


def cells(plan: Plan, arm: str, task: str) -> list[Cell]:
    return [e.cell for e in plan.entries if e.arm == arm and e.cell.task.name == task]


EQUAL = "arms: {guidelines: {}, control: {recipe: smc-same-steps}}\n"


@pytest.mark.parametrize("task", ["squad", "mnli"])
def test_control_takes_as_many_steps_as_the_guidelines(tmp_path: Path, task: str) -> None:
    found = plan(tmp_path, EQUAL)
    steps = [timeline_of(cell).total_steps for cell in cells(found, "guidelines", task)]
    assert [timeline_of(cell).total_steps for cell in cells(found, "control", task)] == steps
    # 2 epochs, then a cycle of 4 after each event: 3 events for 0.8, 5 for 0.9.
    rows, batch = {"squad": (87599, 16), "mnli": (392702, 32)}[task]
    per_epoch = -(-rows // batch)
    assert steps == [14 * per_epoch, 22 * per_epoch]


@pytest.mark.parametrize("task", ["commonsense_qa", "winogrande", "race"])
def test_control_is_smc_stretched_as_a_whole(tmp_path: Path, task: str) -> None:
    arms = f"arms: {{smc: {{recipe: smc}}, control: {{recipe: smc-same-steps}}}}\ntasks: [{task}]\n"
    found = plan(tmp_path, arms, tasks="")
    for smc, control in zip(cells(found, "smc", task), cells(found, "control", task), strict=True):
        left, right = timeline_of(smc), timeline_of(control)
        assert right.total_steps != left.total_steps
        shares = [[e.step / t.total_steps for e in t.events] for t in (left, right)]
        assert shares[1] == pytest.approx(shares[0], abs=2e-3)
        assert right.final_sparsity == pytest.approx(left.final_sparsity, rel=1e-4)
        for share in (0.04, 0.5, 0.9):
            rates = [
                learning_rate(cell.recipe, time, round(share * time.total_steps))
                for cell, time in ((smc, left), (control, right))
            ]
            assert rates[1] == pytest.approx(rates[0], abs=2e-7)
        same = {"sparsity_schedule", "lr_schedule", "train"}
        assert smc.recipe.model_dump(exclude=same) == control.recipe.model_dump(exclude=same)
        assert smc.recipe.train.model_dump(exclude={"duration"}) == (
            control.recipe.train.model_dump(exclude={"duration"})
        )


def test_control_follows_the_profile(tmp_path: Path) -> None:
    text = EQUAL + (
        "profiles: {small: {recipes: {guidelines: {sparsity_schedule: {start: 1ep, cycle: 1ep}}}}}"
    )
    found = plan(tmp_path, text, "small")
    per_epoch = -(-392702 // 32)
    steps = [timeline_of(cell).total_steps for cell in cells(found, "control", "mnli")]
    assert steps == [4 * per_epoch, 6 * per_epoch]


def test_identity_holds_what_the_length_follows_from() -> None:
    fixed = with_value(BASE, "recipe.sparsity_schedule", {"kind": "one_shot"})

    def identity(cycle: str, batch: int) -> str:
        length = {"kind": "scaled", "start": "1ep", "cycle": cycle}
        equal = {"batch": batch, "length": length}
        return Cell.model_validate(with_value(fixed, "recipe.train.duration", equal)).id

    assert len({identity("1ep", 32), identity("2ep", 32), identity("1ep", 16)}) == 3
    assert identity("1.0 ep", 32) == identity("1ep", 32)


def test_length_of_a_fixed_recipe() -> None:
    recipe = Recipe.model_validate(
        {"lr_schedule": {"kind": "constant", "peak": 1.0}, "train": {"duration": "3ep", "batch": 4}}
    )
    assert recipe.length == EqualSteps(batch=4, length="3ep")


def test_settings_by_task(tmp_path: Path) -> None:
    text = "arms: {a: {recipe: gmp-30ep}}\nrecipe: {by_task: {mnli: {train: {rows: 5}}}}\n"
    found = plan(tmp_path, text)
    squad, mnli = (cells(found, "a", task)[0].recipe for task in ("squad", "mnli"))
    # The table of the published recipes: SQuADv1.1 against MNLI and QQP.
    assert (squad.lr_schedule.peak, squad.lr_schedule.floor, squad.train.batch) == (8e-5, 8e-6, 16)  # type: ignore[union-attr]
    assert (mnli.lr_schedule.peak, mnli.lr_schedule.floor, mnli.train.batch) == (5e-5, 5e-6, 32)  # type: ignore[union-attr]
    assert (squad.train.rows, mnli.train.rows) == (None, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms: {a: {by_task: {squid: {}}}}", "one.yaml:9: arms.a.by_task.squid: .*mean 'squad'"),
        ("arms: {a: {by_task: 3}}", "one.yaml:9: arms.a.by_task: write settings by task"),
        (
            "arms: {a: {by_task: {squad: {train: {batch: 0}}}}}",
            "one.yaml:9: arms.a.by_task.squad.train.batch: ",
        ),
        (
            "arms: {a: {recipe: smc, train: {duration: {same_as: guidelines}}}}",
            "one.yaml:9: arms.a.train.duration: write 30ep",
        ),
        (
            "arms: {a: {recipe: smc, train: {duration: {same_steps_as: guidlines}}}}",
            "unknown recipe 'guidlines'; did you mean 'guidelines'",
        ),
        (
            "arms: {a: {recipe: smc-same-steps}}\nrecipes: {guidelines: "
            "{sparsity_schedule: null, train: {duration: {same_steps_as: guidelines}}}}",
            "one.yaml:10: recipes.guidelines.train.duration: lengths follow .* in a circle",
        ),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        plan(tmp_path, text)


def test_a_length_survives_a_cell_s_file(tmp_path: Path) -> None:
    cell = cells(plan(tmp_path, EQUAL), "control", "squad")[0]
    again = Cell.model_validate_json(cell.model_dump_json())
    assert (again, again.id) == (cell, cell.id)


@pytest.mark.parametrize(
    ("arm", "key", "why"),
    [
        ("scorer: movement, regrowth: {every: 2it}", "regrowth", "chooses the masks anew"),
        ("scorer: soft_movement, regrowth: {every: 2it}", "regrowth", "chooses the masks anew"),
        ("scorer: soft_movement, structure: block4", "structure", "not block4"),
    ],
)
def test_what_a_learned_scorer_would_not_heed_is_refused(
    tmp_path: Path, arm: str, key: str, why: str
) -> None:
    shot = "sparsity_schedule: {kind: one_shot, at: 0it}, train: {duration: 4it}"
    with pytest.raises(SuiteError, match=why) as caught:
        plan(tmp_path, f"arms: {{odd: {{{arm}, {shot}}}}}\n")
    assert f"one.yaml:9: arms.odd.{key}: " in str(caught.value)
