from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.pruning.scorers.simple import load_scorer
from smc_bench.engine.recipe import Recipe
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.tasks.registry import all_names, get_task
from tests.helpers.pins import NoPins

FOLDER = Path(__file__).parents[2] / "suites"
SUITES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "claims.yaml")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_expands_under_every_profile(path: Path) -> None:
    for profile in ["paper", *load_suite(path).suite.profiles]:
        plan = expand(load_suite(path, profile), NoPins())
        teachers = {cell.teacher for cell in plan.cells.values()} - {None}
        assert teachers <= plan.cells.keys()
        assert all(isinstance(cell.recipe, Recipe) for cell in plan.cells.values())


def test_laptop_profiles_have_common_teachers() -> None:
    """One dense cell a task: a study grows in slices, and no suite trains another's teacher."""
    shared = ["ablation_embeddings", "ablation_schedule", "ablation_temperature", "glue", "table2"]
    shared += ["one_shot", "obert_against_gmp", "first_experiments", "figure_temperature"]
    teachers: dict[str, set[str]] = {}
    for name in shared:
        plan = expand(load_suite(FOLDER / f"{name}.yaml", "laptop"), NoPins())
        for entry in plan.entries:
            if entry.arm == "dense":
                teachers.setdefault(entry.cell.task.name, set()).add(entry.cell.id)
    assert {task: len(ids) for task, ids in teachers.items()} == dict.fromkeys(teachers, 1)


@pytest.mark.parametrize("name", all_names())
def test_every_task_has_an_implementation(name: str) -> None:
    assert get_task(name).spec.name == name


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_every_scorer_loads(name: str) -> None:
    assert callable(load_scorer(name))
    assert SCORERS[name].source
