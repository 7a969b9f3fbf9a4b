from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from smc_bench.engine.recipe import Recipe
from smc_bench.suite.cell import Cell, difference, identity_content

BASE: dict[str, Any] = {
    "task": {
        "name": "sst2", "version": 1, "config": "sst2", "train_split": "train",
        "eval_splits": ["validation"], "max_length": 64, "stride": 0,
    },
    "model": "minilm-l6",
    "model_pin": "wheel:sha256:0",
    "data_pins": {"train": "mirror:sha256:1", "validation": "mirror:sha256:2"},
    "recipe": {
        "scope": ["encoder"],
        "sparsity_schedule": {"kind": "scaled", "start": "1ep", "cycle": "1ep"},
        "lr_schedule": {"kind": "rewind", "peak": 1e-4},
        "distillation": {"hardness": 1.0, "temperature": 5.5},
        "train": {"duration": "scaled", "batch": 32},
    },
    "scorer_version": 1,
    "sparsity": 0.5,
    "seed": 1,
    "teacher": "abc",
}  # fmt: skip


def with_value(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    key, _, rest = path.partition(".")
    inner = with_value(content.get(key, {}), rest, value) if rest else value
    return {**content, key: inner}


@given(st.randoms())
def test_key_order_does_not_matter(random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    assert Cell.model_validate(shuffled(BASE)).id == Cell.model_validate(BASE).id


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipe.distillation.hardness", 1),
        ("recipe.train.duration", "scaled"),
        ("recipe.sparsity_schedule.start", "1.0 ep"),
        ("recipe.train.weight_decay", 0),
        ("recipe.lr_schedule.floor", 0),
        ("model", "another name for the same weights"),
    ],
)
def test_spelling_and_defaults_do_not_matter(path: str, value: Any) -> None:
    assert Cell.model_validate(with_value(BASE, path, value)).id == Cell.model_validate(BASE).id


CHANGES: list[tuple[str, Any]] = [
    ("task.version", 2), ("task.config", "x"), ("task.train_split", "train_partial"),
    ("task.eval_splits", ["test"]), ("task.max_length", 65), ("task.stride", 1),
    ("task.held_back", 9),
    ("model_pin", "hub:1"), ("data_pins", {"train": "mirror:sha256:9"}),
    ("recipe.scope", ["encoder", "head"]), ("recipe.sparsity_over", "encoder_zeros"),
    ("recipe.scorer", "random"), ("recipe.threshold", "per_layer"),
    ("recipe.sparsity_schedule.initial", 0.6), ("recipe.sparsity_schedule.removes", 0.2),
    ("recipe.sparsity_schedule.start", "2ep"), ("recipe.sparsity_schedule.cycle", "2ep"),
    ("recipe.lr_schedule.peak", 2e-4), ("recipe.lr_schedule.floor", 1e-6),
    ("recipe.lr_schedule.warmup", "5it"), ("recipe.lr_schedule.period", "1ep"),
    ("recipe.lr_schedule.at", ["1ep"]),
    ("recipe.distillation.hardness", 0.5), ("recipe.distillation.temperature", 2.0),
    ("recipe.distillation", None), ("recipe.train.batch", 16),
    ("recipe.train.batching", "grouped"), ("recipe.train.weight_decay", 0.1),
    ("recipe.train.beta1", 0.8), ("recipe.train.beta2", 0.98), ("recipe.train.epsilon", 1e-6),
    ("recipe.train.clip", None), ("recipe.train.clip_over", "all"),
    ("recipe.train.dropout", 0.0),
    ("recipe.train.precision", "bf16"), ("recipe.train.padding", "dynamic"),
    ("recipe.train.rows", 10), ("recipe.train.head", "trained"),
    ("recipe.train.start_from", "teacher"), ("recipe.evaluation.batch", 8),
    ("recipe.evaluation.rows", 8), ("scorer_version", 2), ("sparsity", 0.6), ("seed", 2),
    ("teacher", "abd"), ("limit", 5),
    ("recipe.structure", "block4"), ("recipe.recomputations", 4),
    ("recipe.scorer_options", {"batches": 2}), ("task.name", "cola"),
    ("recipe.sparsity_schedule.kind", "rounds"), ("recipe.lr_schedule.kind", "linear"),
    ("recipe.train.duration", "3ep"), ("recipe.train.selection", "best"),
    ("recipe.regrowth", {"every": "10it"}), ("recipe.sparsity_schedule.paced_from", 0.5),
    ("recipe.method", "own"), ("recipe.method_options", {"every": 3}),
    ("versions", {"method": 2}), ("recipe.target", {"speedup": 2.0}),
    ("recipe.train.keep_layers", [0, 2]),
]  # fmt: skip
# No other value is allowed beside the rest of BASE, so these are looked at alone.
NOT_ALONE = {
    "recipe.sparsity_schedule.kind",
    "recipe.lr_schedule.kind",
    "recipe.train.duration",
    "recipe.train.selection",
    "recipe.regrowth",
    "recipe.method_options",
    "recipe.target",
}


@pytest.mark.parametrize(
    ("path", "value"), [change for change in CHANGES if change[0] not in NOT_ALONE]
)
def test_what_can_change_the_result_changes_the_identity(path: str, value: Any) -> None:
    one, two = Cell.model_validate(BASE), Cell.model_validate(with_value(BASE, path, value))
    assert one.id != two.id
    assert any(key.startswith(path) or path.startswith(key) for key in difference(one, two))


def test_regrowth_changes_the_identity() -> None:
    one_shot = with_value(BASE, "recipe.sparsity_schedule", {"kind": "one_shot"})
    base = with_value(one_shot, "recipe.train.duration", "3ep")
    found = {
        Cell.model_validate(with_value(base, "recipe.regrowth", value)).id
        for value in (None, {"every": "10it"}, {"every": "20it"}, {"every": "10it", "rate": 0.3})
    }
    assert len(found) == 4


def test_method_options_change_the_identity() -> None:
    base = with_value(BASE, "recipe.method", "own")
    found = {
        Cell.model_validate(with_value(base, "recipe.method_options", value)).id
        for value in ({}, {"every": 3}, {"every": 4})
    }
    assert len(found) == 3


def test_a_target_in_speed_and_its_table_change_the_identity() -> None:
    table = {
        "processor": "p", "threads": 1, "engine": "torch", "version": "1", "torch": "1",
        "batch": 1, "length": 128, "layers": 1, "rest_ms": 1.0, "heads": [[0, 0], [1, 1]],
        "neurons": [[0, 0], [1, 1]], "whole_ms": 3.0, "load": 0.0,
    }  # fmt: skip
    base = with_value(BASE, "recipe.structure", "heads")
    targets: list[Any] = [None, {"speedup": 2.0}, {"speedup": 2.0, "batch": 8}]
    targets += [
        {"speedup": 2.0, "table": {**table, **change}}
        for change in ({}, {"processor": "q"}, {"rest_ms": 1.1}, {"version": "2"})
    ]
    cells = [Cell.model_validate(with_value(base, "recipe.target", each)) for each in targets]
    assert len({cell.id for cell in cells}) == len(targets)
    pinned = [cell for cell in cells if cell.resolved]
    assert pinned == [cells[0], *cells[3:]]  # a target is resolved with its table


def test_no_method_is_not_written_out() -> None:
    """So that identities and records are what they were before there was a choice."""
    content = identity_content(Cell.model_validate(BASE))
    assert not {"method", "method_options", "target"} & set(content["recipe"])
    assert "keep_layers" not in content["recipe"]["train"]


def leaves(model: type[BaseModel], chosen: Any, prefix: str = "") -> set[str]:
    """Dotted names of all settings of a cell, through the sections that ``chosen`` has."""
    found = set()
    for name in model.model_fields:
        value = getattr(chosen, name)
        if isinstance(value, BaseModel):
            found |= leaves(type(value), value, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def test_no_setting_is_forgotten_above() -> None:
    """A new field of a cell or recipe must be tried here, or be named as without effect."""
    without_effect = {"identity_version", "kind", "model"}
    settings = leaves(Cell, Cell.model_validate(BASE)) - without_effect
    assert settings <= {path for path, _ in CHANGES}


def test_identity_of_version_1_stays() -> None:
    """As given by the first code of this version: later settings must not orphan its records."""
    cell = Cell.model_validate(BASE | {"identity_version": 1})
    assert cell.id == "9fd9f199b433"
    assert cell.recipe.train.padding == "dynamic"


def test_identity_of_version_2_stays() -> None:
    """As given by the first code of this version; what it clipped over was no choice then."""
    cell = Cell.model_validate(BASE | {"identity_version": 2})
    assert cell.id == "b98b6bd593dc"
    assert cell.recipe.train.clip_over == "all"


def test_new_cells_match_no_older_ones() -> None:
    now = Cell.model_validate(BASE)
    assert now.identity_version == 3
    older = [Cell.model_validate(BASE | {"identity_version": version}) for version in (1, 2)]
    assert len({cell.id for cell in (now, *older)}) == 3
    for cell in older:
        assert difference(now, cell)["identity_version"] == (3, cell.identity_version)
        assert Cell.model_validate(cell.model_dump(mode="json")).id == cell.id


@pytest.mark.parametrize(
    "changes",
    [
        {"clip": None},
        {"duration": "3ep"},
    ],
)
def test_what_the_norm_is_taken_over_counts_where_it_is_taken_alone(changes: Any) -> None:
    """Without clipping or pruning both norms give the same weights."""
    train = BASE["recipe"]["train"] | changes
    recipe = BASE["recipe"] | {"train": train}
    if "duration" in changes:
        recipe |= {"sparsity_schedule": None}
    found = [
        Recipe.model_validate(recipe | {"train": train | {"clip_over": over}}).normalised()
        for over in ("kept", "all")
    ]
    assert found[0] == found[1]


def test_rounds_that_keep_weights_are_other_cells() -> None:
    rounds = {"kind": "rounds", "round": "5it"}
    base = with_value(BASE, "recipe.sparsity_schedule", rounds)
    spelled, kept = (
        Cell.model_validate(with_value(base, "recipe.sparsity_schedule.weights", value)).id
        for value in ("rewound", "kept")
    )
    assert Cell.model_validate(base).id == spelled != kept


def test_memory_for_an_estimate_does_not_matter() -> None:
    options = [{"block": 50, "fisher_memory": size} for size in ("4GB", "8GB")]
    recipes = [with_value(BASE, "recipe.scorer_options", option) for option in options]
    one, two = (Cell.model_validate(content).id for content in recipes)
    assert one == two != Cell.model_validate(BASE).id


def test_a_copy_has_an_identity_of_its_own() -> None:
    cell = Cell.model_validate(BASE)
    assert cell.id != cell.model_copy(update={"seed": 9}).id
    assert cell.model_copy(update={"seed": 9}).id == Cell.model_validate(BASE | {"seed": 9}).id
