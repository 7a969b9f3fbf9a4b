"""The schemas for editors: every key described, shipped files taken, slips refused."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator
from pydantic import BaseModel

from smc_bench.cli.main import cli
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.json_schema import KINDS, descriptions, json_schema
from smc_bench.store.record import Failure
from smc_bench.suite.cell import Cell
from smc_bench.suite.claims import FILE
from smc_bench.suite.tuning import Tuned
from smc_bench.suite.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]
SUITES = sorted(path for path in (ROOT / "suites").glob("*.yaml") if path.name != FILE)
RECIPES = sorted((ROOT / "suites" / "recipes").glob("*.yaml"))


def models_below(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The model and those that its core schema holds."""
    found: set[type[BaseModel]] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if node.get("type") == "model":
                found.add(node["cls"])
            for key, item in node.items():
                if key != "metadata":
                    walk(item)
        elif isinstance(node, list | tuple):
            for item in node:
                walk(item)

    walk(model.__pydantic_core_schema__)
    return found | {model}


def keys(schema: object, at: str = "") -> dict[str, object]:
    """Every property of a schema, by its path."""
    found: dict[str, object] = {}
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            found |= {f"{at}/{name}": part for name, part in properties.items()}
        for name, part in schema.items():
            found |= keys(part, f"{at}/{name}")
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            found |= keys(part, f"{at}/{index}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_file_has_a_description(kind):
    without = [
        path
        for path, part in keys(json_schema(kind)).items()
        if "/take/" not in path and not str(part.get("description", "")).endswith(".")
    ]
    assert without == []


@pytest.mark.parametrize(
    "model", [Cell, Failure, Tuned, *dict.fromkeys(spec.options for spec in SCORERS.values())]
)
def test_every_setting_that_is_stored_has_a_description(model):
    for one in models_below(model):
        assert set(one.model_fields) == set(descriptions(one)), one


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_schemas(kind):
    Draft7Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_shipped_suites_fit(path):
    validator = Draft7Validator(json_schema("suite"))
    assert [error.message for error in validator.iter_errors(read_yaml(path).data)] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_fit(path):
    validator = Draft7Validator(json_schema("recipe"))
    assert [error.message for error in validator.iter_errors(read_yaml(path).data)] == []


def test_shipped_claims_fit():
    data = read_yaml(ROOT / "suites" / FILE).data
    assert Draft7Validator(json_schema("claims")).is_valid(data)


SUITE = {
    "name": "s",
    "title": "t",
    "tasks": "sst2",
    "model": "minilm-l6",
    "sparsity": 0.5,
    "seeds": 1,
    "baseline": "guidelines",
    "arms": {"a": {"recipe": "smc"}},
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sparsity": "smc"},
        {"sparsity": [0.5, 0.9], "seeds": [1, 2]},
        {"tasks": [{"name": "mrpc", "max_length": 64}, "my_own_task"]},
        {"compare_at": "encoder_sparsity"},
        {"recipe": {"distillation": None, "train": {"duration": {"same_steps_as": "smc"}}}},
        {"arms": {"leave_one_out": "guidelines", "against": "smc"}},
        {"recipes": {"smc": {"by_task": {"squad": {"train": {"batch": 16}}}}}},
        {"slurm": {"setup": "module load cuda", "mem": "32GB", "time": "4h"}},
        {"profiles": {"laptop": {"sparsity": [0.5], "recipe": {"scope": "encoder"}}}},
    ],
)
def test_what_may_be_written_fits(change):
    errors = Draft7Validator(json_schema("suite")).iter_errors({**SUITE, **change})
    assert [error.message for error in errors] == []


@pytest.mark.parametrize(
    "change",
    [
        {"sparsty": 0.5},
        {"sparsity": 1.5},
        {"sparsity": "smcc"},
        {"arms": {}},
        {"arms": {"a": {"scop": ["encoder"]}}},
        {"recipe": {"train": {"duration": "30"}}},
        {"recipe": {"train": {"duration": {"same_steps": "smc"}}}},
        {"recipe": {"sparsity_schedule": {"kind": "ramp", "cycle": "1ep"}}},
        {"recipes": {"smc": {"by_task": {"squad": {"trian": {}}}}}},
        {"slurm": {"time": "4"}},
        {"profiles": {"laptop": {"recipe": {"train": {"batch": 0}}}}},
        {"default_profile": 3},
    ],
)
def test_slips_do_not_fit(change):
    assert not Draft7Validator(json_schema("suite")).is_valid({**SUITE, **change})


def test_a_suite_needs_its_keys():
    for key in SUITE:
        left = {name: value for name, value in SUITE.items() if name != key}
        assert not Draft7Validator(json_schema("suite")).is_valid(left), key


def test_the_verb_prints_the_schema():
    result = CliRunner().invoke(cli, ["schema", "recipe"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema("recipe")
    assert CliRunner().invoke(cli, ["schema", "recipes"]).exit_code != 0
