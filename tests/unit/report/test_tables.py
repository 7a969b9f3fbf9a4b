from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from smc_bench.report.data.results import Results
from smc_bench.report.statistics.compare import Place
from smc_bench.report.tables import footnotes, tables
from smc_bench.store.store import Store
from smc_bench.suite.expand import Entry
from tests.helpers.records import finished, results_of, skilled, suite_file, write_cell

CLEAN = {"git_commit": "a" * 40, "git_dirty": False, "packages": {"torch": "2.6.0"}}


def text(folder: Path, skill: dict[str, float], *, recovery: bool = False, **made: object) -> str:
    suite = suite_file(folder, sparsity="0.8, 0.9")
    results = results_of(suite, folder / "r", skilled(skill, **made))  # type: ignore[arg-type]
    return tables.markdown(results, recovery=recovery)


def test_best_is_bold_only_where_it_can_be_told_apart(tmp_path: Path) -> None:
    clear = text(tmp_path / "a", {"dense": 0.92, "good": 0.9, "bad": 0.7}, examples=2000)
    rows = {line.split("|")[1].strip(): line for line in clear.splitlines() if "±" in line}
    assert rows["good"].count("**") == 4
    assert "**" not in rows["bad"]
    unclear = text(tmp_path / "b", {"dense": 0.92, "good": 0.81, "bad": 0.8}, examples=100)
    assert not [line for line in unclear.splitlines() if "±" in line and "**" in line]


def test_notes_give_the_detectable_difference_and_the_correction(tmp_path: Path) -> None:
    found = text(tmp_path, {"dense": 0.92, "good": 0.9, "bad": 0.7}, examples=2000)
    assert "80 % power (median of 2 comparisons, before correction; covers 3 seeds" in found
    assert "Holm-corrected" in found
    assert "Mixes" not in found


def test_recovery_is_the_share_of_the_dense_score(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, seeds="1, 2, 3, 4")
    skill = {"dense": 0.9, "good": 0.81, "bad": 0.72}
    results = results_of(suite, tmp_path / "r", skilled(skill, examples=4000))
    summary = results.summary.set_index("arm")
    dense = summary.loc["dense", "mean"]
    for arm in ("good", "bad"):
        row = summary.loc[arm]
        assert row["recovery"] == pytest.approx(100.0 * row["mean"] / dense)
        assert row["recovery_low"] < 100.0 * skill[arm] / 0.9 < row["recovery_high"]
    shown = tables.markdown(results, recovery=True)
    assert f"({summary.loc['good', 'recovery']:.1f} %)" in shown
    assert "dense has one seed; in intervals of recovery" in shown


def test_no_recovery_of_a_dense_score_of_zero_is_said(tmp_path: Path) -> None:
    skill = {"dense": 0.0, "good": 0.8, "bad": 0.7}
    found = text(tmp_path, skill, recovery=True, shared=1.0)
    assert "sst2: no recovery: dense is not above zero beyond chance." in found
    assert not [line for line in found.splitlines() if line.startswith("|") and " %)" in line]


def test_interval_of_recovery_is_that_of_a_bootstrap(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, seeds="1")
    skill = {"dense": 0.9, "good": 0.8}
    results = results_of(suite, tmp_path / "r", skilled(skill, examples=1500))
    place = Place("sst2", "", 0.8)
    found = results.scores.recovery(place, "good")
    assert found is not None
    parts = [
        results.scores.examples.parts(cell, "accuracy", value).values  # type: ignore[union-attr]
        for arm in ("good", "dense")
        for cell, value in results.scores.cells(place, arm).values()
    ]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(3000):
        chosen = rng.integers(1500, size=1500)
        draws.append(100.0 * parts[0][chosen].mean() / parts[1][chosen].mean())
    assert found.interval() == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.15)


def test_mixed_records_are_named_under_the_table(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    made = skilled({"dense": 0.9, "good": 0.8, "bad": 0.7})
    plan = finished(suite, tmp_path / "r", made)
    store = Store(tmp_path / "r")
    changes = [
        {**CLEAN, "git_commit": "b" * 40, "pins": {}},
        {**CLEAN, "git_dirty": True, "pins": {"train": "other"}},
        {**CLEAN, "packages": {"torch": "3.0.1"}, "pins": {}},
    ]
    for entry, origin in zip(plan.entries[1:4], changes, strict=True):
        write_cell(store, entry, made(entry) or [], provenance=origin)
    found = tables.markdown(Results.of(plan, store))
    assert "Mixes records of 2 git commits: aaaaaaaaaaaa (6), bbbbbbbbbbbb (1)." in found
    assert "1 of 7 records come from a tree with uncommitted changes." in found
    assert "Mixes major versions of torch: 2, 3." in found
    assert "Mixes revisions of the data or weights of sst2." in found


def test_a_limit_above_what_there_is_makes_no_data_partial(tmp_path: Path) -> None:
    tasks = "{name: mrpc}, {name: sst2}"
    suite = suite_file(tmp_path, tasks=tasks, more="recipe: {train: {rows: 4000}}")
    found = footnotes.partial(results_of(suite, tmp_path / "r", lambda entry: None).plan)
    assert found == {"mrpc": [], "sst2": ["at most 4000 train rows"]}


def test_sparsity_that_came_out_otherwise_is_said(tmp_path: Path) -> None:
    """As with soft movement, whose sparsity is an outcome; the others are silent."""
    suite = suite_file(tmp_path, seeds="1")
    plan = finished(suite, tmp_path / "r", skilled({"dense": 0.9, "good": 0.8, "bad": 0.7}))
    store = Store(tmp_path / "r")
    (bad,) = [entry.cell for entry in plan.entries if entry.arm == "bad"]
    path = store.folder(bad.folder).path / "record.json"
    record = json.loads(path.read_text())
    sparsity = record["sparsity"]
    for count in (sparsity["scope"], sparsity["encoder"], sparsity["components"]["encoder"]):
        count["zeros"] = 613
    path.write_text(json.dumps(record))
    found = tables.markdown(Results.of(plan, store))
    assert "bad: measured sparsity of its scope is 0.613 at 0.8." in found
    assert "good: measured" not in found


def test_latex_is_escaped_and_bold(tmp_path: Path) -> None:
    arms = "arms:\n  a_1 & b: {}\n  100 %: {distillation: {temperature: 1.0}}\n"
    suite = suite_file(tmp_path, arms=arms)
    skill = {"dense": 0.92, "a_1 & b": 0.9, "100 %": 0.7}
    results = results_of(suite, tmp_path / "r", skilled(skill, examples=2000))
    tables.write(results, tmp_path / "out", recovery=True)
    latex = (tmp_path / "out" / "table.tex").read_text()
    assert r"a\_1 \& b" in latex
    assert r"100 \%" in latex
    assert r"\bfseries " in latex
    assert r"$\pm$" in latex


def test_a_cell_whose_files_contradict_each_other_is_named_and_left_out(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    made = skilled({"dense": 0.9, "good": 0.8, "bad": 0.7})
    plan = finished(suite, tmp_path / "r", made)
    store = Store(tmp_path / "r")
    before = Results.of(plan, store)
    one, other = (store.folder(entry.cell.folder).path for entry in plan.entries[1:3])
    (one / "predictions.json.gz").write_bytes((other / "predictions.json.gz").read_bytes())
    after = Results.of(plan, store)
    assert before.problems == ()
    assert len(after.problems) == 1
    assert "does not belong to record.json" in after.problems[0]
    assert str(one) in after.problems[0]
    lost = before.data["value"].notna() & after.data["value"].isna()
    assert [str(x) for x in after.data.loc[lost, "cell"]] == [one.name.rpartition("-")[2]]
    assert list(after.data.loc[lost, "state"]) == ["damaged"]
    tables.markdown(after)


@pytest.mark.parametrize(
    "damage", ["no gzip", "torn", "flipped", "another split", "no list", "nested"]
)
def test_damaged_results_by_example_cost_only_themselves(tmp_path: Path, damage: str) -> None:
    suite = suite_file(tmp_path)
    plan = finished(suite, tmp_path / "r", skilled({"dense": 0.9, "good": 0.8, "bad": 0.7}))
    store = Store(tmp_path / "r")
    path = store.folder(plan.entries[1].cell.folder).path / "predictions.json.gz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    rows = json.loads(gzip.decompress(whole))
    rows["validation"]["correct"] = [[score] for score in rows["validation"]["correct"]]
    nested = json.dumps(rows)
    path.write_bytes(
        {
            "no gzip": b"no gzip",
            "torn": whole[:middle],
            "flipped": whole[:middle] + bytes(b ^ 255 for b in whole[middle:-8]) + whole[-8:],
            "another split": gzip.compress(b'{"test": {}}'),
            "no list": gzip.compress(b"[1]"),
            "nested": gzip.compress(nested.encode()),
        }[damage]
    )
    results = Results.of(plan, store)
    (problem,) = results.problems
    assert problem.startswith(f"{path}: not the results of validation by example")
    assert results.data["value"].notna().all()
    tables.markdown(results)


def test_configurations_of_one_task_stay_apart(tmp_path: Path) -> None:
    tasks = "{name: race, config: middle}, {name: race, config: high}"
    suite = suite_file(tmp_path, tasks=tasks)

    def make(entry: Entry) -> list[float]:
        return [float(entry.cell.task.config == "high")] * 20

    found = tables.markdown(results_of(suite, tmp_path / "r", make))
    assert "**race-middle**, accuracy in %: dense 0.00" in found
    assert "**race-high**, accuracy in %: dense 100.00" in found


def test_a_task_that_the_model_saw_in_pretraining_is_named(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, tasks="qnli, sst2")
    found = tables.markdown(results_of(suite, tmp_path / "r", lambda entry: [1.0, 0.0]))
    assert "qnli: minilm-l6 saw this task's training pairs in pretraining." in found
    assert "sst2: minilm-l6 saw" not in found


def test_every_table_of_dequantised_weights_says_so(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, model="smollm2-135m")
    results = results_of(suite, tmp_path / "r", lambda entry: [1.0, 0.0])
    assert "smollm2-135m: dequantised 4-bit weights of SmolLM2-135M" in tables.markdown(results)


@pytest.mark.parametrize("change", ["another order", "other answers", "gone"])
def test_results_by_example_that_were_changed_are_not_compared(tmp_path: Path, change: str) -> None:
    suite = suite_file(tmp_path)
    plan = finished(suite, tmp_path / "r", skilled({"dense": 0.9, "good": 0.8, "bad": 0.7}))
    store = Store(tmp_path / "r")
    folder = store.folder(plan.entries[1].cell.folder).path
    path, record = folder / "predictions.json.gz", folder / "record.json"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    canonical = json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()
    written = {"predictions_sha256": hashlib.sha256(canonical).hexdigest()}
    record.write_text(json.dumps(json.loads(record.read_text()) | written))
    path.write_bytes(gzip.compress(json.dumps(rows, indent=1).encode()))  # packed anew: the same
    assert Results.of(plan, store).problems == ()
    if change == "another order":  # the score stays; pairs of examples would not
        rows["validation"]["correct"].reverse()
    rows["validation"]["predictions"].reverse()
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    if change == "gone":
        path.unlink()
    (problem,) = Results.of(plan, store).problems
    assert problem.startswith(str(path))
    assert ("is gone" if change == "gone" else "was changed") in problem


def test_results_by_example_nested_too_deeply_are_named(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    plan = finished(suite, tmp_path / "r", skilled({"dense": 0.9, "good": 0.8, "bad": 0.7}))
    store = Store(tmp_path / "r")
    path = store.folder(plan.entries[1].cell.folder).path / "predictions.json.gz"
    path.write_bytes(gzip.compress(b"[" * 100_000))
    (problem,) = Results.of(plan, store).problems
    assert problem.startswith(f"{path}: not the results of validation by example")


def test_columns_that_say_something_else_of_an_arm_are_noted(tmp_path: Path) -> None:
    arms = """arms:
  plain: {}
  fast: {structure: heads+neurons, target: {speedup: 5}}
  shallow: {train: {keep_layers: [0, 3]}}
"""
    suite = suite_file(tmp_path, arms=arms, more="recipe: {scope: encoder}")
    found = footnotes.footnotes(results_of(suite, tmp_path / "r", lambda entry: None))
    (speed,) = [note for note in found if note.startswith("fast: ")]
    assert "5 times as fast; its column (0.8) is the share of the dense model's time" in speed
    (layers,) = [note for note in found if note.startswith("shallow: ")]
    assert "has 2 of the model's layers (0, 3); its sparsity is a share of these" in layers
    assert not [note for note in found if note.startswith("plain: ")]
