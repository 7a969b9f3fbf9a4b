"""Two sets of results side by side: what is paired, tested and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

from smc_bench.cli.main import cli
from smc_bench.store.store import Store
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Entry
from tests.helpers.carried import cell_of
from tests.helpers.records import finished, skilled, suite_file, write_cell

ORIGIN = {"git_commit": "a" * 40, "packages": {"torch": "2.6.0"}, "processor": "Xeon", "pins": {}}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)])


def compared(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


def write(results: Path, cell: Cell, right: np.ndarray[Any, Any], **origin: Any) -> None:
    correct = [float(value) for value in right]
    write_cell(Store(results), Entry(cell, "arm", 0.5), correct, provenance=ORIGIN | origin)


def with_precision(precision: str, **changes: Any) -> Cell:
    recipe = cell_of().recipe.model_dump(mode="json")
    recipe["train"]["precision"] = precision
    return cell_of(recipe=recipe, **changes)


@pytest.fixture
def answers() -> np.ndarray[Any, Any]:
    """Right or wrong, by side, seed and row."""
    rng = np.random.default_rng(5)
    hard = rng.random(300)
    skill = np.array([[0.7, 0.72, 0.69], [0.78, 0.8, 0.77]])
    return (hard[None, None] < skill[..., None]) ^ (rng.random((2, 3, 300)) < 0.05)


def test_other_precision_teacher_and_versions_are_paired_and_told(
    tmp_path: Path, answers: np.ndarray[Any, Any]
) -> None:
    for seed in (1, 2, 3):
        one = with_precision("fp32", seed=seed, teacher=None)
        two = with_precision("bf16", seed=seed, teacher=None)
        assert one.id != two.id
        write(tmp_path / "a", one, answers[0, seed - 1])
        write(tmp_path / "b", two, answers[1, seed - 1], git_commit="b" * 40, processor="EPYC")
    found = compared(tmp_path / "a", tmp_path / "b")
    (arm,) = found["arms"]
    means = 100.0 * answers.mean(axis=2)
    assert arm["values"] == pytest.approx(means.mean(axis=1).tolist())
    assert arm["difference"] == pytest.approx((means[1] - means[0]).mean())
    # The interval covers examples too, so it is no shorter than the paired t interval over seeds.
    low, high = stats.ttest_rel(means[1], means[0]).confidence_interval(0.95)
    assert arm["low"] < low
    assert high < arm["high"]
    for row, (one, two) in zip(found["cells"], zip(*answers, strict=True), strict=True):
        gains, losses = int((two & ~one).sum()), int((one & ~two).sum())
        assert row["mcnemar_p"] == pytest.approx(stats.binomtest(gains, gains + losses).pvalue)
    assert found["differs"] == {
        "precision": [{"first": "fp32", "second": "bf16", "pairs": 3}],
        "commit": [{"first": "a" * 40, "second": "b" * 40, "pairs": 3}],
        "processor": [{"first": "Xeon", "second": "EPYC", "pairs": 3}],
    }


def test_other_settings_are_not_paired(tmp_path: Path, answers: np.ndarray[Any, Any]) -> None:
    write(tmp_path / "a", cell_of(sparsity=0.5), answers[0, 0])
    write(tmp_path / "b", cell_of(sparsity=0.6), answers[0, 0])
    done = run(tmp_path / "a", tmp_path / "b")
    assert done.exit_code == 1
    assert "Nothing is finished on both sides" in done.stdout
    assert f"a alone has 1: {cell_of(sparsity=0.5).id}" in done.stdout


def test_students_of_other_teachers_are_not_paired(
    tmp_path: Path, answers: np.ndarray[Any, Any]
) -> None:
    write(tmp_path / "a", cell_of(teacher="a" * 12), answers[0, 0])
    write(tmp_path / "b", cell_of(teacher="b" * 12), answers[0, 0])
    assert compared(tmp_path / "a", tmp_path / "b")["arms"] == []


def test_what_can_not_be_told_apart_is_left_out(
    tmp_path: Path, answers: np.ndarray[Any, Any]
) -> None:
    other = cell_of(model_pin="wheel:sha256:9")
    for cell in (cell_of(), other):
        write(tmp_path / "a", cell, answers[0, 0])
    write(tmp_path / "b", cell_of(), answers[1, 0])
    write(tmp_path / "c", cell_of(model_pin="wheel:sha256:7"), answers[1, 0])
    found = compared(tmp_path / "a", tmp_path / "b")
    assert [row["cells"] for row in found["cells"]] == [[[cell_of().id], [cell_of().id]]]
    done = run(tmp_path / "a", tmp_path / "c")
    assert done.exit_code == 1
    assert "it is not known which to compare" in done.stderr


def test_suites_and_arms_of_one_folder(tmp_path: Path) -> None:
    suite, results = suite_file(tmp_path / "suites"), tmp_path / "results"
    finished(suite, results, skilled({"good": 0.9, "bad": 0.6, "dense": 0.95}))
    # The records alone name the pins: nothing is looked up.
    found = compared(f"{suite}:bad", f"{suite}:good", "--results", results)
    (arm,) = found["arms"]
    assert arm["seeds"] == [[1, 2, 3], [1, 2, 3]]
    assert 20.0 < arm["difference"] < 40.0
    assert arm["p"] < 0.05
    same = compared(suite, suite, "--results", results)
    assert [row["difference"] for row in same["arms"]] == [0.0, 0.0, 0.0]
    assert same["differs"] == {}


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("{f}", "{s}", "two results folders, or two suites"),
        ("{s}:good", "{s}", "an arm of each"),
        ("{s}:god", "{s}:bad", "did you mean 'good'"),
        ("quickstrat", "{s}", "did you mean 'quickstart'"),
        ("{f}/x", "{f}", "two results folders, or two suites"),
        ("{f}", "{e}", "holds no finished cell"),
    ],
)
def test_what_can_not_be_compared_is_one_line(
    tmp_path: Path, one: str, two: str, said: str
) -> None:
    suite = suite_file(tmp_path / "suites")
    finished(suite, tmp_path / "results", skilled({"good": 0.9}))
    (tmp_path / "empty").mkdir()
    names = {"f": tmp_path / "results", "s": suite, "e": tmp_path / "empty"}
    done = run(one.format(**names), two.format(**names), "--results", tmp_path / "results")
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.startswith("error: ")


def test_a_results_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["compare", str(tmp_path), str(tmp_path / "nowhere")])
    assert done.exit_code == 1
    assert f"{tmp_path / 'nowhere'}: there is no such results folder" in done.stderr
