"""The package from Python: frames of what is stored, without torch and without data."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import smc_bench
from smc_bench.errors import DamagedError, StoreError, SuiteError
from tests.helpers.carried import cell_of, finish
from tests.helpers.records import finished, skilled, suite_file

ROOT = Path(__file__).parents[2]


def test_importing_the_package_is_light_and_nothing_loads_torch() -> None:
    program = """
import sys, smc_bench
assert not {"torch", "pandas", "numpy", "pydantic"} & set(sys.modules), sorted(sys.modules)
r = smc_bench.open_results("results/reproduction/records")
key = r.cells().index[-1]
r.summary("why_smc_collapses"), r.predictions(key), r.curves(key), r.layers(key), r.record(key)
smc_bench.load_suite("quickstart"), smc_bench.plan("quickstart", "laptop")
assert not {"torch", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_there_and_no_others() -> None:
    for name in smc_bench.__all__:
        assert getattr(smc_bench, name) is not None
        assert name in dir(smc_bench)
    with pytest.raises(AttributeError, match="no attribute 'opn_results'"):
        smc_bench.opn_results  # type: ignore[attr-defined]  # noqa: B018


def test_cells_are_what_the_records_say(tmp_path: Path) -> None:
    for seed in (1, 2):
        finish(tmp_path, cell_of(seed=seed), right=seed)
    results = smc_bench.open_results(tmp_path)
    frame = results.cells()
    assert (len(results), results.problems) == (2, ())
    row = frame.loc[cell_of(seed=2).id]
    assert (row["task"], row["metric"], row["value"], row["trivial"]) == (
        "sst2", "accuracy", 50.0, 50.0,
    )  # fmt: skip
    assert (row["seed"], row["scope"], row["target"], row["encoder_sparsity"]) == (
        2, "encoder", 0.5, 0.5,
    )  # fmt: skip
    assert results.record(cell_of(seed=1).id[:5]).metrics == {"accuracy": 25.0}


def test_predictions_curves_and_layers(tmp_path: Path) -> None:
    finish(tmp_path, cell_of(), right=3)
    results = smc_bench.open_results(str(tmp_path))
    found = results.predictions(cell_of().id)
    assert found.to_dict("list") == {
        "split": ["validation"] * 4,
        "row": [0, 1, 2, 3],
        "prediction": [1, 0, 1, 0],
        "correct": [1, 1, 1, 0],
    }
    curve = results.curves(cell_of().id)
    assert list(curve.columns) == ["step", "loss", "lr", "sparsity"]
    assert curve["loss"].tolist() == [1 / i for i in range(1, 501)]
    assert results.layers(cell_of().id).to_dict("list") == {
        "step": [250], "target": [0.5], "tensor": ["w"], "left": [500], "total": [1000],
    }  # fmt: skip


def test_a_summary_has_means_and_spread_over_seeds(tmp_path: Path) -> None:
    suite, results = suite_file(tmp_path / "suites"), tmp_path / "results"
    plan = finished(suite, results, skilled({"good": 0.9, "dense": 0.95}, spread=0.02))
    opened = smc_bench.open_results(results)
    (row,) = (row for _, row in opened.summary(suite).iterrows() if row["arm"] == "good")
    cells = opened.cells()
    values = [cells.loc[e.cell.id, "value"] for e in plan.entries if e.arm == "good"]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (row["n"], row["of"], row["sparsity"]) == (3, 3, 0.8)
    assert row["low"] < row["mean"] < row["high"]
    missing = opened.summary(suite).set_index("arm").loc["bad"]
    assert (missing["n"], math.isnan(missing["mean"])) == (0, True)


def test_the_profile_is_the_one_whose_cells_are_there(tmp_path: Path) -> None:
    more = "profiles: {small: {recipe: {train: {rows: 64}}}, other: {recipe: {train: {rows: 8}}}}"
    suite, results = suite_file(tmp_path / "suites", more=more), tmp_path / "results"
    text = suite.read_text()
    suite.write_text(text.replace("name: made_up", "name: made_up\ndefault_profile: small"))
    finished(suite, results, skilled({"good": 0.9, "bad": 0.5}))
    suite.write_text(text.replace("name: made_up", "name: made_up\ndefault_profile: other"))
    opened = smc_bench.open_results(results)
    assert opened.summary(suite)["n"].sum() == 6
    assert opened.summary(suite, "other")["n"].sum() == 0
    assert opened.summary(suite, "other", settings=["train.rows=64"])["n"].sum() == 6


def test_records_are_unpacked_for_as_long_as_they_are_open() -> None:
    with smc_bench.open_results(ROOT / "results" / "reproduction" / "records") as results:
        folder = results._store.root
        assert folder.exists()
    assert not folder.exists()


@pytest.mark.parametrize("verb", [smc_bench.plan, smc_bench.load_suite])
def test_what_is_no_suite_is_said_in_a_sentence(verb: Any) -> None:
    for given in (smc_bench.load_suite("quickstart"), 7, None):
        with pytest.raises(SuiteError, match=f"not a file or a name, but a {type(given).__name__}"):
            verb(given)


def test_plan_and_load_suite_take_names_and_files(tmp_path: Path) -> None:
    plan = smc_bench.plan("quickstart", "laptop", results=tmp_path)
    arms = {entry.arm for entry in plan.entries}
    assert arms == {"dense", *smc_bench.load_suite("quickstart", "laptop").suite.arms}
    fewer = smc_bench.plan("quickstart", "laptop", settings=["seeds=[1, 2]"], results=tmp_path)
    assert {entry.cell.seed for entry in fewer.entries} == {1, 2}
    path = ROOT / "suites" / "quickstart.yaml"
    assert smc_bench.plan(path, "laptop", results=tmp_path).cells.keys() == plan.cells.keys()


def test_what_is_wrong_is_one_of_our_errors(tmp_path: Path) -> None:
    folder = finish(tmp_path, cell_of())
    results = smc_bench.open_results(tmp_path)
    with pytest.raises(StoreError, match="no finished cell with an id"):
        results.curves("zzz")
    with pytest.raises(StoreError, match="no finished cell"):
        results.curves("")
    with pytest.raises(SuiteError, match="did you mean 'quickstart'"):
        results.summary("quickstrat")
    with pytest.raises(SuiteError, match="metric"):
        results.summary("quickstart", metric="perplexity")
    with pytest.raises(StoreError, match="no such folder"):
        smc_bench.open_results(tmp_path / "nowhere")
    (folder.path / "predictions.json.gz").write_bytes(b"")
    with pytest.raises(StoreError, match=r"predictions\.json\.gz"):
        results.predictions(cell_of().id)
    finish(tmp_path, cell_of(), right=1)  # another cell's answers under the first one's record
    with pytest.raises(DamagedError, match="changed after"):
        results.predictions(cell_of().id)
    (folder.path / "record.json").write_text("{")
    assert "record.json" in smc_bench.open_results(tmp_path).problems[0]
