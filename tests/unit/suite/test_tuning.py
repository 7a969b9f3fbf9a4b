"""Rates that were chosen reach the cells that they were chosen for, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from smc_bench.errors import SuiteError
from smc_bench.report.tables.footnotes import footnotes
from smc_bench.suite.expand import Try, expand, tries
from smc_bench.suite.load import load_suite
from smc_bench.suite.overrides import Overrides
from smc_bench.suite.tuning import Choice, tuned_path, tuned_text
from tests.helpers.pins import NoPins
from tests.helpers.records import results_of, skilled, suite_file

PEAKS = (1e-4, 3e-4, 9e-4)
TUNE = "tune: {peaks: [1e-4, 3e-4, 9e-4], rows: 50, sparsity: 0.7, seed: 77}"
# Which rate is best for whom.
BEST = {
    ("sst2", "dense"): 0, ("sst2", "good"): 1, ("sst2", "bad"): 2,
    ("rte", "dense"): 2, ("rte", "good"): 0, ("rte", "bad"): 1,
}  # fmt: skip


def choose(suite: Path, left_out: tuple[str, ...] = ()) -> list[Try]:
    """Write choices as ``smc-bench tune`` would, the tries scoring as :data:`BEST` says."""
    loaded = load_suite(suite, tuned=False)
    assert loaded.suite.tune is not None
    found = tries(loaded, NoPins())
    dense = {task: PEAKS[at] for (task, arm), at in BEST.items() if arm == "dense"}
    found += tries(loaded, NoPins(), dense)
    choices = []
    for task, arm in dict.fromkeys((t.task, t.arm) for t in found):
        some = [t for t in found if (t.task, t.arm) == (task, arm)]
        at = BEST[task, arm]
        scores = tuple(90.0 if index == at else 80.0 for index in range(3))
        cells = tuple(t.cell.id for t in some)
        if arm not in left_out:
            choices.append(
                Choice(
                    task=task, arm=arm, recipe=some[0].recipe, peak=PEAKS[at], scores=scores,
                    cells=cells,
                )
            )  # fmt: skip
    path = tuned_path(suite, loaded.profile)
    path.parent.mkdir(exist_ok=True)
    path.write_text(tuned_text(loaded.suite.tune, choices, "test"))
    return found


def tuned_suite(folder: Path, **changes: str) -> Path:
    return suite_file(folder, tasks="sst2, rte", more=TUNE, **changes)


def test_each_cell_has_the_rate_of_its_arm_and_task_also_the_teacher(tmp_path: Path) -> None:
    suite = tuned_suite(tmp_path, sparsity="0.5, 0.8")
    choose(suite)
    plan = expand(load_suite(suite), NoPins())
    assert len(plan.entries) == 2 * (1 + 2 * 2 * 3)
    for entry in plan.entries:
        task = entry.cell.task
        assert entry.cell.recipe.lr_schedule.peak == PEAKS[BEST[task.name, entry.arm]]
        # Nothing is held back any more, and what is evaluated is the task's own split.
        assert (task.held_back, task.eval_splits) == (None, ("validation",))
        if entry.cell.teacher is not None:
            assert plan.cells[entry.cell.teacher].task.name == task.name


def test_tries_see_no_evaluation_row_and_are_taught_by_such(tmp_path: Path) -> None:
    suite = tuned_suite(tmp_path)
    found = choose(suite)
    assert len(found) == 2 * 3 * 3
    cells = {attempt.cell.id: attempt.cell for attempt in found}
    for cell in cells.values():
        assert (cell.task.held_back, cell.task.eval_splits) == (50, ("train",))
        assert set(cell.data_pins) == {"train"}
        assert cell.seed == 77
        if cell.teacher is not None:
            teacher = cells[cell.teacher]
            assert teacher.task == cell.task
            assert teacher.recipe.lr_schedule.peak == PEAKS[BEST[cell.task.name, "dense"]]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model", "google-bert/bert-base-uncased"),
        ("tasks", [{"name": "sst2", "max_length": 32}, "rte"]),
    ],
)
def test_a_choice_for_another_model_or_task_is_refused(
    tmp_path: Path, setting: str, value: object
) -> None:
    suite = tuned_suite(tmp_path)
    choose(suite)
    with pytest.raises(SuiteError, match="was chosen for other settings"):
        load_suite(suite, overrides=Overrides(suite={setting: value}))


def test_a_task_in_two_settings_has_no_rate_of_its_own(tmp_path: Path) -> None:
    tasks = "{name: sst2, max_length: 32}, {name: sst2, max_length: 64}"
    suite = suite_file(tmp_path, tasks=tasks, more=TUNE)
    with pytest.raises(SuiteError, match="sst2 stands there in several settings"):
        load_suite(suite, tuned=False)


def test_a_file_of_choices_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    suite = tuned_suite(tmp_path)
    choose(suite)
    (path,) = (tmp_path / "tuned").iterdir()
    whole = yaml.safe_load(path.read_text())
    for change, why in (
        ({"peak": 9e-4}, "is not the rate that scored best"),
        ({"scores": [90.0, 80.0]}, "a score and a cell for each of 3 rates"),
        ({"arm": "bad"}, "stands there twice"),
    ):
        at = 2 if "arm" in change else 0
        choices = [dict(choice) for choice in whole["choices"]]
        choices[at] |= change
        path.write_text(yaml.safe_dump({**whole, "choices": choices}))
        with pytest.raises(SuiteError, match=why):
            load_suite(suite)


def test_a_table_says_how_rates_were_chosen(tmp_path: Path) -> None:
    suite = tuned_suite(tmp_path)
    maker = skilled({"dense": 0.9, "good": 0.85, "bad": 0.8})
    choose(suite)
    notes = "\n".join(footnotes(results_of(suite, tmp_path / "results", maker)))
    assert "the best of 0.0001, 0.0003, 0.0009 on 50 training rows held back" in notes
    assert "sparsity 0.7 with seed 77; no evaluation row was looked at" in notes
    assert "No peak was chosen yet" not in notes
    choose(suite, left_out=("bad",))
    notes = "\n".join(footnotes(results_of(suite, tmp_path / "results", maker)))
    assert "No peak was chosen yet for bad on sst2, bad on rte" in notes
    plain = suite_file(tmp_path / "plain")
    notes = "\n".join(footnotes(results_of(plain, tmp_path / "results", maker)))
    assert "Peak learning rates" not in notes


def test_a_profile_may_do_without_the_suite_s_tuning(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, more=TUNE)
    text = suite.read_text()
    assert load_suite(suite).suite.tune is not None
    suite.write_text(text + "profiles: {fixed: {tune: null}, same: {seeds: [5]}}\n")
    assert load_suite(suite, "fixed").suite.tune is None
    assert load_suite(suite, "same").suite.tune is not None
