"""Learning rates chosen on training rows that are held back, on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from smc_bench.engine.inputs import chosen_rows, held_back_rows
from smc_bench.engine.recipe import Recipe
from smc_bench.suite.tuning import best, fingerprint, with_peak

TUNE = "tune: {peaks: [1e-4, 1e-2], rows: 8, sparsity: 0.5, seed: 9}\n"


def smc(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smc_bench", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def records(results: Path) -> dict[str, dict[str, Any]]:
    read = [json.loads(path.read_text()) for path in results.glob("cells/*/*/record.json")]
    return {record["cell_id"]: record for record in read}


def recipe(**changes: object) -> Recipe:
    base = {"lr_schedule": {"kind": "rewind", "peak": 2e-4, "floor": 2e-5}}
    return Recipe.model_validate({**base, "train": {"duration": "6it"}, **changes})


def test_rows_held_back_are_never_trained_on() -> None:
    rows = [{"i": i} for i in range(50)]
    for limit in (None, 10, 41, 60):
        trained = {row["i"] for row in chosen_rows(rows, limit, 9)}
        held = [row["i"] for row in held_back_rows(rows, 9)]
        assert len(held) == 9
        assert held == sorted(held)
        assert not trained & set(held)
        assert len(trained) == min(limit or 41, 41)
    # What is held back does not depend on how many rows are trained on.
    assert {r["i"] for r in chosen_rows(rows, 10, 9)} <= {r["i"] for r in chosen_rows(rows, 41, 9)}


def test_the_best_rate_is_the_lower_one_of_equals_and_never_a_diverged_one() -> None:
    assert best((1e-4, 2e-4, 4e-4), (80.0, 82.0, 82.0)) == 2e-4
    assert best((1e-4, 2e-4, 4e-4), (80.0, None, None)) == 1e-4
    with pytest.raises(ValueError, match="every try diverged"):
        best((1e-4, 2e-4), (None, None))


def test_the_floor_keeps_its_share_and_what_has_no_floor_has_none() -> None:
    schedule = with_peak(recipe(), 6e-4).lr_schedule
    assert (schedule.peak, schedule.floor) == (6e-4, 6e-5)
    constant = recipe(lr_schedule={"kind": "constant", "peak": 1e-5})
    assert with_peak(constant, 3e-5).lr_schedule.peak == 3e-5


def test_a_fingerprint_does_not_depend_on_defaults_written_out() -> None:
    assert fingerprint(recipe()) == fingerprint(recipe(scope=["encoder"], threshold="global"))
    assert fingerprint(recipe()) != fingerprint(recipe(threshold="per_layer"))


def test_tune_writes_what_run_then_uses(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    text = suite_file.read_text()
    suite_file.write_text(text + TUNE)
    where = (suite_file, "--results", tmp_path / "results", "--data-root", mirror)
    refused = smc("run", *where)
    assert refused.returncode == 1
    assert "no learning rate was chosen yet for" in refused.stderr
    assert "not tuned yet" in smc("check", suite_file).stdout

    done = smc("tune", *where)
    assert done.returncode == 0, done.stderr
    (path,) = (suite_file.parent / "tuned").iterdir()
    kept = yaml.safe_load(path.read_text())
    chosen = {choice["arm"]: choice for choice in kept["choices"]}
    assert set(chosen) == {"dense", "plain", "guided"}
    found = records(tmp_path / "results")
    assert len(found) == 6
    for choice in chosen.values():
        tries = [found[cell] for cell in choice["cells"]]
        assert [t["cell"]["recipe"]["lr_schedule"]["peak"] for t in tries] == [1e-4, 1e-2]
        assert choice["scores"] == [pytest.approx(t["metrics"]["accuracy"]) for t in tries]
        assert {t["rows"]["train"] for t in tries} == {40}
        assert {t["rows"]["held_back"] for t in tries} == {8}
        scores = dict(zip(choice["scores"], (1e-4, 1e-2), strict=True))
        assert choice["peak"] == (1e-4 if len(scores) == 1 else scores[max(scores)])

    assert smc("run", *where, "--no-report").returncode == 0
    for key, content in records(tmp_path / "results").items():
        if key in found:
            continue
        settings = content["cell"]["recipe"]
        arm = "dense" if settings["sparsity_schedule"] is None else "guided"
        arm = "plain" if "head" in settings["scope"] and arm == "guided" else arm
        assert settings["lr_schedule"]["peak"] == chosen[arm]["peak"]
        assert content["rows"] == {"train": 48, "validation": 24}

    suite_file.write_text(
        suite_file.read_text().replace("guided: {}", "guided: {threshold: per_layer}")
    )
    stale = smc("run", *where)
    assert stale.returncode == 1
    assert "was chosen for other settings" in stale.stderr


def test_what_tune_has_tried_can_be_merged(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    suite_file.write_text(suite_file.read_text() + TUNE)
    smc("tune", suite_file, "--results", tmp_path / "one", "--data-root", mirror)
    tried = records(tmp_path / "one")
    assert any(record["cell"]["task"]["held_back"] for record in tried.values())
    merged = smc("merge", tmp_path / "one", "--results", tmp_path / "two")
    assert merged.returncode == 0, merged.stdout
    assert records(tmp_path / "two") == tried
