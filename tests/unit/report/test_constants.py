"""Scores of constant answers, against scikit-learn on references that are known here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from smc_bench.report.data.results import Results
from smc_bench.report.statistics.constants import Constants, merged
from smc_bench.store.store import Store
from tests.helpers.pages import GOLD, store_of
from tests.helpers.records import finished, suite_file, write_cell

SKILL = {"dense": 0.9, "good": 0.8, "bad": 0.5}


def constants(folder: Path, task: str, metric: str | None = None) -> tuple[Constants, Results]:
    suite = suite_file(folder, tasks=task, sparsity="0.7", seeds="1")
    plan, store = store_of(suite, folder / "r", SKILL, collapsed=["bad"])
    results = Results.of(plan, store, metric)
    return Constants(results), results


def test_accuracy_of_the_first_and_the_commonest_class(tmp_path: Path) -> None:
    found, results = constants(tmp_path, "sst2")
    (cell,) = [e.cell for e in results.plan.entries if e.arm == "bad"]
    answer = found.of(cell, "accuracy")
    assert answer is not None
    assert answer.first == pytest.approx(100.0 * np.mean(GOLD == 0))
    assert answer.commonest == pytest.approx(100.0 * max(np.mean(GOLD == 0), np.mean(GOLD == 1)))
    assert answer.common == int(np.mean(GOLD) > 0.5)


@pytest.mark.parametrize("metric", ["f1", "matthews_correlation"])
def test_other_scores_are_those_of_scikit_learn(metric: str, tmp_path: Path) -> None:
    task = {"f1": "mrpc", "matthews_correlation": "cola"}[metric]
    found, results = constants(tmp_path, task)
    (cell,) = [e.cell for e in results.plan.entries if e.arm == "bad"]
    answer = found.of(cell, metric)
    score = {"f1": f1_score, "matthews_correlation": matthews_corrcoef}[metric]
    assert answer is not None
    assert answer.first == pytest.approx(100.0 * score(GOLD, np.zeros_like(GOLD)))
    common = np.full_like(GOLD, answer.common)
    assert answer.commonest == pytest.approx(100.0 * score(GOLD, common))


def test_references_of_many_classes_come_from_several_cells(tmp_path: Path) -> None:
    gold, rng = np.arange(60) % 3, np.random.default_rng(0)
    known: np.ndarray | None = None
    for _ in range(3):
        said = rng.integers(0, 3, 60)
        rows = {"predictions": said.tolist(), "correct": (said == gold).astype(float).tolist()}
        known, agree = merged(known, rows, 3)
        assert agree
    assert known is not None
    assert set(known[known != gold]) <= {-1}
    right = {"predictions": gold.tolist(), "correct": [1.0] * 60}
    known, agree = merged(known, right, 3)
    assert agree
    assert (known == gold).all()


def test_nothing_is_said_where_cells_contradict_each_other_or_leave_some_open(
    tmp_path: Path,
) -> None:
    suite = suite_file(tmp_path, sparsity="0.7", seeds="1", tasks="mnli")
    plan, store = finished(suite, tmp_path / "r", lambda entry: [1.0] * 30), Store(tmp_path / "r")
    answers = {"dense": ([0, 1] * 15, [1.0] * 30), "good": ([1] * 30, [0.0, 1.0] * 15)}
    for entry in plan.entries:
        said, right = answers.get(entry.arm, ([0] * 30, [1.0] * 30))
        write_cell(store, entry, right, rows={"predictions": said, "correct": right})
    results = Results.of(plan, store)
    (bad,) = [e.cell for e in plan.entries if e.arm == "bad"]
    assert Constants(results).of(bad, "accuracy_m") is None
    for entry in plan.entries:  # only the first of three classes is ever right
        right = [1.0, 0.0] * 15
        write_cell(store, entry, right, rows={"predictions": [0] * 30, "correct": right})
    assert Constants(Results.of(plan, store)).of(bad, "accuracy_m") is None
