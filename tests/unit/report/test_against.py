"""Measured beside published numbers, on made-up cells of known settings."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy import stats

from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.report.data.curves import Curve, published_curves
from smc_bench.report.published import text as against_text
from smc_bench.report.published.against import Answer, Measured, against_reported, outcome
from smc_bench.report.published.reported import Number, read_reported, reported_folders
from smc_bench.report.tables.methods import Method, read_methods
from smc_bench.suite.expand import Entry, Plan
from tests.helpers.records import results_of, suite_file

REPORTED = read_reported(*reported_folders())
METHODS = read_methods(reported_folders())

OBERT = """
arms:
  published:
    scorer: obert
    sparsity_schedule:
      {kind: ramp, initial: 0.7, start: 2ep, end: 26ep, every: 4ep}
    train: {duration: 30ep}
    distillation: {temperature: 2.0}
"""


def number(value: float, seeds: int | None = 3, error: float | None = None) -> Number:
    return Number(
        paper="p",
        table="t",
        model="BERT-base",
        task="SQuADv1.1",
        metric="F1",
        statistic="score",
        seeds=seeds,
        sparsity=90,
        method="m",
        value=value,
        error=error,
        mark="verbatim",
        source="made up for a test",
    )


def answers(folder: Path, score: float, **changes: str) -> list[Answer]:
    def make(entry: Entry) -> list[float]:
        wobble = 0.0004 * (entry.cell.seed - 2)
        return [score / 100.0 + wobble] * 50

    settings = {"tasks": "squad", "model": "google-bert/bert-base-uncased", "sparsity": "0.9"}
    suite = suite_file(folder, **{**settings, **changes})
    results = results_of(suite, folder / "r", make)
    found = against_reported(results, REPORTED, METHODS)
    assert "Against published numbers" in against_text.markdown(results, found)
    return [answer for answer in found if answer.entry.arm != "dense"]


@pytest.mark.parametrize(
    ("ours", "their_sd", "word"),
    [
        (Measured(88.35, 0.1, 3), 0.128, "reproduced"),
        (Measured(88.90, 0.6, 3), 0.128, "within seed noise"),
        (Measured(85.00, 0.1, 3), 0.128, "off"),
        (Measured(88.35, math.nan, 1), 0.05, "reproduced"),
        (Measured(88.35, math.nan, 1), math.nan, "can't tell"),
        (Measured(60.00, math.nan, 1), math.nan, "can't tell"),
    ],
)
def test_outcome_follows_the_interval(ours: Measured, their_sd: float, word: str) -> None:
    assert outcome(ours, number(88.31), their_sd)[0] == word


def test_interval_is_the_pooled_t_interval() -> None:
    mine, theirs = [88.0, 88.4, 89.1], [88.22, 88.5, 88.2]
    known = stats.ttest_ind(mine, theirs).confidence_interval(0.95)
    ours = Measured(sum(mine) / 3, stats.tstd(mine), 3)
    _, detail = outcome(ours, number(sum(theirs) / 3), stats.tstd(theirs))
    assert f"({known.low:+.2f} to {known.high:+.2f})" in detail


def test_the_error_of_reading_a_figure_widens_it() -> None:
    ours = Measured(76.75, 0.05, 5)
    assert outcome(ours, number(77.3, None), math.nan)[0] == "off"
    assert outcome(ours, number(77.3, None, 0.6), math.nan)[0] == "within seed noise"


def test_other_model_partial_data_and_pretraining_are_named(tmp_path: Path) -> None:
    gmp = "arms:\n  plain: {train: {duration: 10ep, batch: 16}, distillation: {temperature: 2.0}, "
    gmp += "sparsity_schedule: {kind: ramp, start: 1ep, end: 8ep, every: 1ep}}\n"
    more = "recipe: {evaluation: {rows: 500}}"
    found = answers(tmp_path, 70.0, model="minilm-l6", arms=gmp, more=more)
    magnitude = [a for a in found if a.method.paper.startswith("Movement")]
    assert [a.word for a in magnitude] == ["not comparable"]
    assert magnitude[0].detail.split("; ") == [
        "other model (minilm-l6, theirs BERT-base)",
        "the model saw this task in pretraining",
        "partial data (at most 500 evaluation rows)",
    ]


def test_numbers_of_the_paper_itself_are_unknown_with_the_reason(tmp_path: Path) -> None:
    found = answers(tmp_path, 88.0)
    paper = [a for a in found if "2312.13547" in a.method.paper]
    assert [(a.word, a.theirs) for a in paper] == [("unknown", None)]
    assert "no results cell" in paper[0].detail


def test_other_settings_are_named(tmp_path: Path) -> None:
    arms = "arms:\n  short: {train: {duration: 3ep, batch: 16}, distillation: {temperature: 2.0}, "
    arms += "sparsity_schedule: {kind: ramp, start: 1ep, end: 2ep, every: 1ep}}\n"
    found = answers(tmp_path, 80.0, arms=arms)
    assert found[0].word == "not comparable"
    assert "other settings (train.duration 3ep, theirs 10ep)" in found[0].detail


def test_a_rerun_of_the_published_recipe_is_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the scorer's name matters here; no cell is run.
    monkeypatch.setitem(SCORERS, "obert", SCORERS.get("obert", SCORERS["magnitude"]))
    found = answers(tmp_path / "same", 88.31, arms=OBERT)
    assert [(a.word, a.theirs and a.theirs.value) for a in found] == [("reproduced", 88.31)]
    assert [a.word for a in answers(tmp_path / "off", 84.0, arms=OBERT)] == ["off"]


def test_a_task_that_nobody_reports_has_no_row(tmp_path: Path) -> None:
    assert answers(tmp_path, 80.0, tasks="sst2") == []


def drawn(plan: Plan) -> list[Curve]:
    return published_curves(plan, REPORTED, METHODS)


def test_curves_are_drawn_for_the_published_model_only(tmp_path: Path) -> None:
    settings = {"tasks": "commonsense_qa", "arms": "arms:\n  smc: {recipe: smc}\n"}
    large = results_of(
        suite_file(tmp_path / "a", model="FacebookAI/roberta-large", **settings),
        tmp_path / "r",
        lambda entry: None,
    )
    curves = {curve.label.partition(" (During)")[0]: curve for curve in drawn(large.plan)}
    assert curves["GMP"].sparsity == (0.36, 0.488)
    assert curves["GMP"].value == (72.4, 64.0)
    assert "digitised" in curves["GMP"].label
    small = results_of(suite_file(tmp_path / "b", **settings), tmp_path / "s", lambda entry: None)
    assert drawn(small.plan) == []


def test_a_reason_is_said_once_and_numbered(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, tasks="squad", model="google-bert/bert-base-uncased", seeds="1")
    results = results_of(suite, tmp_path / "r", lambda entry: [0.8] * 50)
    found = against_reported(results, REPORTED, METHODS)
    text = against_text.markdown(results, found)
    unknown = next(answer for answer in found if answer.word == "unknown")
    (line,) = [line for line in text.splitlines() if unknown.detail in line]
    number = line[2 : line.index("]") + 1]
    rows = [row for row in text.splitlines() if row.startswith("|") and number in row]
    assert len(rows) == sum(answer.detail == unknown.detail for answer in found)
    assert all("| 80.00  |             |" in row for row in rows)


def test_a_rerun_by_others_stands_beside_the_publication(tmp_path: Path) -> None:
    arms = "arms:\n  after: {recipe: smc-omp-after}\n  before: {recipe: smc-magnitude-before}\n"
    arms += "  regrown: {recipe: smc-magnitude-before-rigl}\n"
    settings = {"tasks": "commonsense_qa", "model": "FacebookAI/roberta-large", "sparsity": "0.488"}
    found = answers(tmp_path, 50.0, arms=arms, **settings)
    assert [(a.entry.arm, a.method.method, a.theirs and a.theirs.value) for a in found] == [
        ("after", "OMP (After)", 55.4),
        ("after", "OMP (After)", 30.14),
        ("before", "OMP (Before)", 25.88),
    ]


def test_the_recipe_of_ten_epochs_is_told_from_that_of_thirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORERS, "obert", SCORERS.get("obert", SCORERS["magnitude"]))
    arms = "arms:\n  ten: {recipe: obert-10ep}\n  thirty: {recipe: obert-30ep}\n"
    found = answers(tmp_path, 87.98, arms=arms)
    assert [(a.entry.arm, a.theirs and a.theirs.value) for a in found] == [
        ("ten", 87.98),
        ("thirty", 88.31),
    ]
    assert found[0].word == "reproduced"
    assert "temperature of its distillation is not known" in found[0].detail


def test_tables_and_curves_leave_out_what_has_no_sparsity(tmp_path: Path) -> None:
    settings = {"tasks": "squad", "model": "google-bert/bert-base-uncased", "sparsity": "0.8, 0.9"}
    results = results_of(suite_file(tmp_path, **settings), tmp_path / "r", lambda entry: None)
    methods = [Method(paper="oBERT 2203.07259", method="oBERT 3 layers 90%")]
    # Table 6 gives no sparsity, table 17 gives one number: no curve.
    assert published_curves(results.plan, REPORTED, methods) == []
