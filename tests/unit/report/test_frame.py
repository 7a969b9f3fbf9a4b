"""Which cells count as seeds of one another: those that differ in the seed and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.errors import SuiteError
from smc_bench.report.data.frame import frame
from smc_bench.report.data.results import Results
from smc_bench.report.figures.schedules import curves
from smc_bench.report.statistics.compare import Place
from smc_bench.report.tables import footnotes, tables
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import Store
from smc_bench.suite.cell import identity_content
from smc_bench.suite.expand import Entry, Plan, expand, task_settings
from smc_bench.suite.labels import labels
from smc_bench.suite.load import load_suite
from tests.helpers.records import finished, results_of, skilled, suite_file

SKILL = {"dense": 0.9, "good": 0.8, "bad": 0.7}


def plan_of(suite: Path) -> Plan:
    pins = SourcePins(
        Roots.from_environment(None, None), Lock.load(suite.parent / "lock.json"), network=False
    )
    return expand(load_suite(suite), pins)


TASKS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["sst2", "race", "squad", "mnli"])},
        optional={
            "config": st.sampled_from(["middle", "high", "a b", "a-b"]),
            "max_length": st.sampled_from([16, 64, 128]),
            "stride": st.sampled_from([0, 8]),
            "train_split": st.sampled_from(["train", "train_a", "train a"]),
            "eval_splits": st.sampled_from([["validation"], ["test"], ["validation", "test"]]),
        },
    ),
    min_size=1,
    max_size=5,
)
# Pairs that four digits can't tell apart stand beside those that they can.
LEVELS = st.lists(
    st.sampled_from([0.5, 0.8, 0.83222784, 0.83222785, 0.8322]), min_size=1, max_size=3, unique=True
)
WAYS = st.lists(
    st.sampled_from(["scope_sparsity", "encoder_sparsity", "model_sparsity"]),
    max_size=3,
    unique=True,
)


@settings(max_examples=40, deadline=None)
@given(tasks=TASKS, levels=LEVELS, ways=WAYS)
def test_cells_that_differ_in_more_than_the_seed_are_never_grouped(
    tasks: list[dict[str, object]], levels: list[float], ways: list[str]
) -> None:
    with TemporaryDirectory() as folder:
        suite = suite_file(
            Path(folder),
            tasks=json.dumps(tasks)[1:-1],
            sparsity=", ".join(map(repr, levels)),
            seeds="1, 2",
            more=f"compare_at: {json.dumps(ways)}",
        )
        loaded = load_suite(suite)
        if len({task_settings(entry)[1] for entry in loaded.suite.tasks}) < len(tasks):
            with pytest.raises(SuiteError, match="stands there twice with the same settings"):
                plan_of(suite)
            return
        plan = plan_of(suite)
        store = Store(Path(folder) / "r")
        data = frame(plan, store)
    content = {}
    for cell in plan.cells.values():
        content[cell.id] = identity_content(cell)
        del content[cell.id]["seed"]
    keys = ["task", "metric", "compare_at", "arm", "sparsity"]
    for _, part in data.groupby(keys, sort=False):
        assert part["seed"].is_unique
        cells = [content[cell] for cell in part["cell"]]
        assert all(cell == cells[0] for cell in cells)
    called = labels(plan)
    assert len(set(called.values())) == len(called)
    headings = tables.headings(levels)
    assert len(set(headings)) == len(levels)
    # Drawn schedules are told apart alike: one line a task, arm and target.
    assert len(set(called.values())) == curves(plan)["task"].nunique()


def test_two_lengths_of_one_task_have_a_table_each(tmp_path: Path) -> None:
    """They were one column whose ± was the spread over lengths."""
    suite = suite_file(tmp_path, tasks="{name: sst2, max_length: 16}, {name: sst2, max_length: 8}")

    def make(entry: Entry) -> list[float]:
        return [float(entry.cell.task.max_length == 8)] * 20

    results = results_of(suite, tmp_path / "r", make)
    found = tables.markdown(results)
    assert "**sst2-max_length=16**, accuracy in %: dense 0.00;" in found
    assert "**sst2-max_length=8**, accuracy in %: dense 100.00;" in found
    assert set(results.summary.loc[results.summary["arm"] != "dense", "of"]) == {3}


def test_a_task_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Also where one of them writes out a default: its cells would count as two seeds."""
    for tasks in ("sst2, sst2", "sst2, {name: sst2, max_length: 128}"):
        with pytest.raises(SuiteError, match="tasks: sst2 stands there twice"):
            plan_of(suite_file(tmp_path, tasks=tasks))


def test_the_score_of_a_part_of_the_splits_is_found(tmp_path: Path) -> None:
    """MNLI on its second split alone has an accuracy_mm and no accuracy_m."""
    tasks = "{name: mnli, eval_splits: [validation_mismatched]}"
    results = results_of(suite_file(tmp_path, tasks=tasks), tmp_path / "r", skilled(SKILL))
    assert set(results.data["metric"]) == {"accuracy_mm"}
    assert results.data["value"].notna().all()
    effect = results.scores.compare(Place("mnli", "", 0.8), "good", "bad").effect
    assert effect is not None
    assert effect.examples == 800


def test_limits_of_single_arms_are_named_with_the_arm(tmp_path: Path) -> None:
    arms = "arms:\n  good: {}\n  bad: {train: {rows: 100}, evaluation: {rows: 50}}\n"
    plan = plan_of(suite_file(tmp_path, arms=arms))
    assert footnotes.partial(plan) == {
        "sst2": ["at most 100 train rows (bad)", "at most 50 evaluation rows (bad)"]
    }


def test_measured_sparsity_is_held_against_what_the_column_counts(tmp_path: Path) -> None:
    """Not averaged over tasks, and of the encoder where sparsity is counted over the encoder."""
    arms = "arms:\n  good: {scope: [embeddings, encoder]}\n  bad: {scope: [encoder, head]}\n"
    more = "compare_at: [encoder_sparsity]"
    suite = suite_file(tmp_path, tasks="sst2, rte", seeds="1", more=more, arms=arms)
    plan = finished(suite, tmp_path / "r", skilled(SKILL))
    for entry in plan.entries:
        if entry.arm == "bad" and entry.cell.task.name == "rte":
            path = Store(tmp_path / "r").folder(entry.cell.folder).path / "record.json"
            record = json.loads(path.read_text())
            sparsity = record["sparsity"]
            sparsity["encoder"]["zeros"] = sparsity["components"]["encoder"]["zeros"] = 613
            sparsity["scope"]["zeros"] = 613 + sparsity["components"]["head"]["zeros"]
            path.write_text(json.dumps(record))
        if entry.arm == "good":
            path = Store(tmp_path / "r").folder(entry.cell.folder).path / "record.json"
            record = json.loads(path.read_text())
            sparsity = record["sparsity"]  # counted over something else
            sparsity["components"]["embeddings"]["zeros"] = 100
            sparsity["scope"]["zeros"] = 100 + sparsity["encoder"]["zeros"]
            path.write_text(json.dumps(record))
    found = tables.markdown(Results.of(plan, Store(tmp_path / "r")))
    assert "- rte, bad: measured sparsity of its encoder is 0.613 at 0.8.\n" in found
    assert found.count("measured sparsity") == 1
