"""Plans of what is stored, where it does not all belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.report.data.stored import finished as read
from smc_bench.report.data.stored import recorded_plan
from smc_bench.store.store import Store
from tests.helpers.records import finished, skilled, suite_file

SKILLS = {"dense": 0.9, "good": 0.8, "bad": 0.7}


@pytest.mark.parametrize("profile", [None, "default"])
def test_auto_is_what_a_suites_own_cells_were_trained_in(
    tmp_path: Path, profile: str | None
) -> None:
    """Also where another suite's cells, in another precision, are more."""
    results = tmp_path / "results"
    others = suite_file(tmp_path, seeds="1, 2, 3", more="recipe: {train: {precision: fp32}}")
    finished(others, results, skilled(SKILLS))
    mine = tmp_path / "mine"
    mine.mkdir()
    suite = suite_file(mine, seeds="7", more="recipe: {train: {precision: bf16}}")
    cells = finished(suite, results, skilled(SKILLS)).cells
    suite.write_text(suite.read_text().replace("precision: bf16", "precision: auto"))
    found, problems = read(Store(results))
    assert not problems
    assert recorded_plan(found, suite, profile).cells.keys() == cells.keys()
    assert len(found) > 2 * len(cells)
