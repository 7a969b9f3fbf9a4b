"""Schedules, scorers and methods of a plug-in: registered, checked, named in identities."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.prefix import prefix_content, prefix_steps
from smc_bench.engine.pruning.methods.registry import METHODS
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.kinds import RATES, SPARSITY
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.versions import later_versions
from smc_bench.store.reading import parse_cell
from smc_bench.suite.cell import Cell
from tests.helpers import engine as recipes
from tests.helpers.plugin_texts import AVERAGE, HALVES, HEAD, METHOD, SCORER, STAIRS, SUITE, load
from tests.helpers.registries import untouched
from tests.integration.test_extend import examples
from tests.unit.suite.test_identity import BASE, with_value


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with untouched():
        yield


def recipe(**changes: Any) -> Recipe:
    base = {
        "lr_schedule": {"kind": "stairs", "peak": 0.8},
        "sparsity_schedule": {"kind": "halves"},
        "train": {"duration": "10it", "batch": 8},
    }
    return Recipe.model_validate(base | changes)


def test_schedules_of_a_plugin_make_timelines_and_rates(tmp_path: Path) -> None:
    assert load(tmp_path, HALVES + STAIRS.removeprefix(HEAD)) == ["halves", "stairs"]
    settings = recipe()
    timeline = build_timeline(settings, 0.8, 24)  # three steps an epoch
    assert [(e.step, e.sparsity) for e in timeline.events] == [
        (2, 0.4),
        (4, pytest.approx(0.6)),
        (6, pytest.approx(0.7)),
        (8, 0.8),
    ]
    rates = [learning_rate(settings, timeline, step) for step in range(10)]
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]
    assert Recipe.model_validate(settings.model_dump(mode="json")) == settings
    assert settings.lr_schedule.with_peak(1.6).peak == 1.6


def test_versions_above_1_are_in_the_identity(tmp_path: Path) -> None:
    load(tmp_path, HALVES + STAIRS.removeprefix(HEAD) + METHOD.removeprefix(HEAD))
    assert later_versions(recipe()) == {"lr_schedule": 2}
    assert later_versions(recipe(method="own")) == {"lr_schedule": 2, "method": 3}
    assert later_versions(recipe(lr_schedule={"kind": "linear", "peak": 1.0})) == {}
    one, two = (
        Cell.model_validate(BASE | {"versions": versions}) for versions in ({}, {"method": 3})
    )
    assert one.id == Cell.model_validate(BASE).id != two.id


def test_a_beginning_follows_from_rates_and_the_code_of_plugins(tmp_path: Path) -> None:
    load(tmp_path, HALVES + STAIRS.removeprefix(HEAD) + METHOD.removeprefix(HEAD))
    contents = []
    for changes in (
        {},
        {"lr_schedule": {"kind": "stairs", "peak": 0.8, "every": "2it"}},
        {"lr_schedule": {"kind": "stairs", "peak": 0.8, "every": "1it"}},
        {"lr_schedule": {"kind": "constant", "peak": 0.8}},
    ):
        made = recipe(**changes)
        timeline = build_timeline(made, 0.8, 24)
        assert prefix_steps(made, timeline) == 2
        contents.append(prefix_content(made, timeline))
    # The first two have the same rates up to step 2.
    assert contents[0] == contents[1]
    assert contents[1] != contents[2]
    assert contents[0]["plugins"][0].startswith("smc_bench_plugin_own_")
    assert "plugins" not in contents[3]
    own = recipe(method="own")
    assert prefix_steps(own, build_timeline(own, 0.8, 24)) == 0  # unless it says that it may


def test_the_method_of_the_document_resumes_to_the_bit(tmp_path: Path) -> None:
    """Set by name in a recipe, stopped between two exchanges; the audit's exact count holds."""
    load(tmp_path, examples()["my_method.py"])
    settings = recipes.recipe(
        scope=["encoder", "embeddings"],
        method="set",
        method_options={"every": 2, "share": 0.3},
        sparsity_schedule={"kind": "ramp", "start": "1it", "end": "5it", "every": "2it"},
        train={"duration": "10it", "batch": 8, "clip": 1.0, "dropout": 0.1},
    )
    whole = recipes.trained(settings, 0.7, tmp_path / "whole")
    cut = recipes.trained(settings, 0.7, tmp_path / "cut", stop_after=7)
    for name, weight in whole.raw.state_dict().items():
        assert torch.equal(weight, cut.raw.state_dict()[name]), name
    masked = sum(int((~mask).sum()) for mask in whole.pruner.masks.values())
    total = sum(mask.numel() for mask in whole.pruner.masks.values())
    assert masked == int(0.7 * total + 0.5)


def test_a_method_keeps_its_own_state_in_checkpoints(tmp_path: Path) -> None:
    """One that averages magnitudes over steps: without its state, resumed masks would differ."""
    load(tmp_path, AVERAGE)
    settings = recipes.recipe(
        method="average",
        sparsity_schedule={"kind": "one_shot", "at": "6it"},
        lr_schedule={"kind": "constant", "peak": 0.05},
        train={"duration": "8it", "batch": 8, "clip": None, "dropout": 0.0},
    )
    whole = recipes.trained(settings, 0.5, tmp_path / "whole")
    cut = recipes.trained(settings, 0.5, tmp_path / "cut", stop_after=4)
    plain = recipes.trained(settings.model_copy(update={"method": None}), 0.5, tmp_path / "plain")
    other = False
    for name, mask in whole.pruner.masks.items():
        assert torch.equal(mask, cut.pruner.masks[name]), name
        other = other or not torch.equal(mask, plain.pruner.masks[name])
    assert other  # else the state would decide nothing


def test_a_stored_cell_is_read_without_its_plugin(tmp_path: Path) -> None:
    """Other people's cells in a store must not look damaged."""
    load(tmp_path, HALVES + STAIRS.removeprefix(HEAD))
    content = with_value(BASE, "recipe.sparsity_schedule", {"kind": "halves", "events": 5})
    content = with_value(content, "recipe.lr_schedule", {"kind": "stairs", "peak": 0.5})
    content = with_value(content, "recipe.train.duration", "10it")
    cell = Cell.model_validate(content)
    for kinds in (SPARSITY, RATES):
        kinds.specs.pop("halves", None)
        kinds.specs.pop("stairs", None)
    stored = parse_cell(cell.model_dump(mode="json"), tmp_path / "cell.json")
    assert stored is not None
    assert stored.id == cell.id
    with pytest.raises(ValueError, match="load the plug-in that registers it"):
        build_timeline(stored.recipe, 0.5, 24)


def test_registering_twice_is_fine_and_methods_load_by_name(tmp_path: Path) -> None:
    assert load(tmp_path, METHOD) == ["own"]
    assert load(tmp_path, METHOD) == []
    assert METHODS["own"].function.endswith(":Own")


def test_reading_a_plugin_loads_no_torch(tmp_path: Path) -> None:
    """What planning does: the file, a recipe with all it registers, its timeline and rates."""
    everything = [HALVES, STAIRS, METHOD, SCORER]
    path = tmp_path / "own.py"
    path.write_text(HEAD + "".join(part.removeprefix(HEAD) for part in everything))
    suite = tmp_path / "own.yaml"
    suite.write_text(
        SUITE.replace(
            "first: {}",
            "first: {scorer: inverse, method: own, lr_schedule: {kind: stairs, peak: 1}, "
            "sparsity_schedule: {kind: halves}}",
        )
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom smc_bench import plugins\n"
        "from smc_bench.suite.load import load_suite\n"
        f"plugins.load_file({str(path)!r})\n"
        f"load_suite(Path({str(suite)!r}))\n"
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
