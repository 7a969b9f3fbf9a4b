from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smc_bench.engine.schedules.kinds import STORED
from smc_bench.errors import StoreError, SuiteError
from smc_bench.store.runs import Place, remember, runs
from smc_bench.suite.claims import claims_about
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.suite.overrides import parse_overrides
from smc_bench.suite.shipped import shipped_suites, suite_path
from smc_bench.suite.stored import KeptPins, Origin, StoredSuite, public
from tests.helpers.pins import AnyPins
from tests.helpers.records import suite_file


@pytest.mark.parametrize("name", shipped_suites())
def test_a_stored_suite_makes_the_same_cells(name: str) -> None:
    path = shipped_suites()[name]
    for profile in load_suite(path).suite.profiles:
        plan = expand(load_suite(path, profile), AnyPins("bf16"))
        stored = StoredSuite.of(plan, claims_about(path), Origin(file=path.name))
        read = StoredSuite.model_validate(json.loads(json.dumps(stored.model_dump(mode="json"))))
        again = read.plan()
        assert again.entries == plan.entries
        assert again.loaded.note == plan.loaded.note
        assert set(read.claims) == {
            n for n, c in claims_about(path).items() if c.suite == plan.loaded.suite.name
        }


def test_settings_are_part_of_what_is_stored() -> None:
    overrides = parse_overrides(("seeds=[7]", "train.rows=64"))
    plan = expand(load_suite(suite_path("quickstart"), None, overrides), AnyPins("bf16"))
    again = StoredSuite.of(plan, {}, Origin(file="q")).plan()
    assert {entry.cell.recipe.train.rows for entry in again.entries} == {64}
    assert again.entries == plan.entries


def test_a_run_of_another_version_is_refused_in_a_sentence() -> None:
    plan = expand(load_suite(suite_path("quickstart")), AnyPins("bf16"))
    stored = StoredSuite.of(plan, {}, Origin(file="q"))
    newer = stored.model_copy(update={"suite": {**stored.suite, "novelty": 1}})
    with pytest.raises(SuiteError, match=r"suite quickstart: stored by another version .*novelty"):
        newer.load()


def test_other_models_are_asked_of_others() -> None:
    plan = expand(load_suite(suite_path("quickstart")), AnyPins("bf16"))
    stored = StoredSuite.of(plan, {}, Origin(file="q"))
    assert KeptPins(stored).model("anything") == "pin of minilm-l6"
    kept = KeptPins(stored, AnyPins("bf16"))
    assert kept.model("minilm-l6") == "pin of minilm-l6"
    assert kept.model("/a/folder") == "pin of folder"


def test_no_folder_of_a_model_is_stored() -> None:
    assert public("model=/home/me/bert") == "model=./bert"
    assert public("model=owner/name") == "model=owner/name"
    assert public("train.rows=5") == "train.rows=5"


def test_suites_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = suite_path("quickstart")
    assert shipped.is_file()
    assert shipped.name == "quickstart.yaml"
    assert suite_path("suites/none.yaml") == Path("suites/none.yaml")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quickstart.yaml").write_text("name: mine")
    assert suite_path("quickstart") == Path("suites/quickstart.yaml")
    (tmp_path / "quickstart.yaml").write_text("name: mine")
    assert suite_path("quickstart") == Path("quickstart.yaml")
    with pytest.raises(SuiteError, match="did you mean 'table2'"):
        suite_path("tabel2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scorer": "mine"}, "unknown scorer 'mine'"),
        ({"method": "mine"}, "unknown method 'mine'"),
        ({"sparsity_schedule": {"kind": "mine", "x": 1}}, "unknown sparsity_schedule 'mine'"),
        ({"lr_schedule": {"kind": "mine", "peak": 1e-3}}, "unknown lr_schedule 'mine'"),
    ],
)
def test_what_a_missing_plugin_gave_is_named_with_its_file(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    plan = expand(load_suite(suite_path("quickstart")), AnyPins("bf16"))
    origin = Origin(file="q", include=("own.py",))
    content = StoredSuite.of(plan, {}, origin).model_dump(mode="json")
    task = next(iter(content["recipes"].values()))
    next(iter(task["arms"].values())).update(change)
    stored = StoredSuite.model_validate(content, context={STORED: True})
    remember(tmp_path, stored, Place(), tmp_path / "cache")
    (run,) = runs(tmp_path)
    with pytest.raises(SuiteError, match=f"{said}; the run had --include own.py"):
        run.read().plan()


def test_a_stored_suite_that_was_edited_is_not_used(tmp_path: Path) -> None:
    """An arm that is taken out would leave the tables without a word."""
    plan = expand(load_suite(suite_path("quickstart")), AnyPins("bf16"))
    remember(tmp_path, StoredSuite.of(plan, {}, Origin(file="q")), Place(), tmp_path / "cache")
    (run,) = runs(tmp_path)
    assert run.read().plan().entries == plan.entries
    content = json.loads(run.path.read_text())
    content["suite"]["arms"].popitem()
    for task in content["recipes"].values():
        task["arms"].popitem()
    run.path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="was changed after the run, and is not used"):
        run.read()


def test_a_file_is_compared_by_what_it_asks_for_not_by_its_times(tmp_path: Path) -> None:
    path = tmp_path / "made_up.yaml"
    suite_file(tmp_path)
    stored = StoredSuite.of(expand(load_suite(path), AnyPins("bf16")), {}, Origin(file=path.name))
    path.write_text("# said elsewhere\n" + path.read_text())
    assert stored.is_of(load_suite(path))
    assert not stored.is_of(load_suite(path, None, parse_overrides(("seeds=[9]",))))
    path.write_text(path.read_text().replace("temperature: 1.0", "temperature: 2.0"))
    assert not stored.is_of(load_suite(path))
