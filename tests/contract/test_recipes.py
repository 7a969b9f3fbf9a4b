"""Every shipped recipe can be an arm, trains for a known length and says where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.suite.expand import expand
from smc_bench.suite.length import timeline_of
from smc_bench.suite.load import load_suite, shipped_recipes
from tests.helpers.pins import NoPins

RECIPES = sorted(shipped_recipes()[0].glob("*.yaml"))
SUITE = """
name: one
title: One
tasks: [{task}]
model: google-bert/bert-base-uncased
sparsity: [0.5, 0.9]
seeds: [1]
baseline: {recipe}
arms: {{arm: {{}}}}
"""


# Recipes of dense cells prune nothing; `dense` itself would be the same cell as every suite's own.
ARMS = [path for path in RECIPES if not path.stem.startswith("dense")]


@pytest.mark.parametrize("task", ["commonsense_qa", "winogrande", "race", "squad"])
@pytest.mark.parametrize("path", ARMS, ids=lambda path: path.stem)
def test_every_recipe_makes_cells(path: Path, task: str, tmp_path: Path) -> None:
    suite = tmp_path / "one.yaml"
    suite.write_text(SUITE.format(recipe=path.stem, task=task))
    plan = expand(load_suite(suite), NoPins())
    for entry in plan.entries:
        if entry.arm == "arm":
            timeline = timeline_of(entry.cell)
            assert timeline.total_steps >= 0
            assert 0.98 * entry.target < timeline.final_sparsity <= entry.target


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_names_its_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # A recipe that only swaps the scorer of another has that one's source.
    assert "Source:" in text or "oBERT release" in text or "extends: smc-" in text
