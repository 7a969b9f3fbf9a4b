"""Tasks of one's own are looked at when they are registered, and tried before they are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.errors import SmcBenchError
from smc_bench.tasks import registry
from smc_bench.tasks.base import Encoding, Scores, Task
from smc_bench.tasks.glue import Classification
from smc_bench.tasks.metrics import METRICS
from smc_bench.tasks.spec_checks import METRICS as BY_FAMILY
from smc_bench.tasks.spec_checks import check_spec
from smc_bench.tasks.specs import SPECS, EvalSplit
from smc_bench.tasks.trial import try_task
from tests.helpers.tokenizer import fixture_rows, wordpiece

MINE = replace(SPECS["sst2"], name="mine", label_names=())


@pytest.fixture(autouse=True)
def restored():
    kept = dict(SPECS), dict(registry.IMPLEMENTATIONS)
    yield
    for table, old in zip((SPECS, registry.IMPLEMENTATIONS), kept, strict=True):
        table.clear()
        table.update(old)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_projects_own_specs_are_right(spec: Any) -> None:
    check_spec(spec, own_scores=False)


def test_families_name_the_metrics_that_there_are() -> None:
    others = ("span", "language_modelling", "generation")
    of_rows = {m for family, names in BY_FAMILY.items() if family not in others for m in names}
    assert of_rows == set(METRICS)


MATCHED = EvalSplit("a", "_m")
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"metrics": ("f1",), "labels": 3}, r"'f1' is that of the positive one of two .* labels is 3"),
    ({"metrics": ("acuracy",)}, "unknown metric 'acuracy'; the family classification has accuracy"),
    ({"metrics": ("pearson",)}, "unknown metric 'pearson'"),
    ({"metrics": ()}, "one of each at least"),
    ({"metrics": "accuracy"}, "metrics must be a tuple of texts"),
    ({"metrics": ("accuracy", "accuracy")}, "two metrics would have one name"),
    ({"metrics": ("accu racy",)}, "must be named with letters"),
    ({"columns": ("sentence",)}, "columns of the family classification"),
    ({"columns": ("a", "b", "c", "label")}, "columns of the family classification"),
    ({"columns": ("a", "a", "label")}, "columns names something twice"),
    ({"labels": 1}, "labels must be 2 or more"),
    ({"labels": True}, "labels must be an integer, not True"),
    ({"labels": 2.0}, r"labels must be an integer, not 2\.0"),
    ({"family": "regression", "metrics": ("pearson",)}, "labels is always 1"),
    ({"family": "clasification"}, "unknown family 'clasification'; known: classification"),
    ({"family": "span", "columns": ("id", "context", "question")}, "answers lacks"),
    ({"label_names": ("one",)}, "1 label_names for 2 labels"),
    ({"label_names": ("one", "one")}, "label_names names something twice"),
    ({"version": 0}, "version must be 1 or more"),
    ({"train_rows": -3}, "train_rows must be 1 or more"),
    ({"max_length": 4}, "max_length must be 8 or more"),
    ({"stride": 128}, "stride 128 must be less than max_length 128"),
    ({"name": "../mine"}, "looks like a path"),
    ({"name": ""}, "a name needs at least one character"),
    ({"train_split": "../train"}, "can't be the name of a config or split"),
    ({"eval_splits": ("validation",)}, "eval_splits must be a tuple of EvalSplit"),
    ({"eval_splits": ()}, "one of each at least"),
    ({"eval_splits": (MATCHED, MATCHED)}, "eval_splits names something twice"),
    ({"eval_splits": (MATCHED, EvalSplit("b", "_m"))}, "two metrics would have one name"),
    ({"eval_splits": (EvalSplit("a", "m m"),)}, "the suffix 'm m'"),
    ({"hub": "https://somewhere/x/y"}, "hub must be owner/name"),
]


@pytest.mark.parametrize(("changes", "said"), FAULTS, ids=[str(c) for c, _ in FAULTS])
def test_a_wrong_spec_is_not_registered(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SmcBenchError, match=said) as caught:
        registry.register(replace(MINE, **changes))
    assert "\n" not in str(caught.value)
    assert "mine" not in SPECS


def test_metrics_of_ones_own_need_a_class_with_scores_and_trivial() -> None:
    spec = replace(MINE, metrics=("macro_f1",), labels=3)

    class Half(Classification):
        def score(self, rows, features, outputs):
            return Scores({"macro_f1": 50.0})

    class Whole(Half):
        def trivial(self, rows):
            return {"macro_f1": 0.0}

    with pytest.raises(SmcBenchError, match="unknown metric 'macro_f1'"):
        registry.register(spec, Half)
    registry.register(spec, Whole)
    assert type(registry.get_task("mine")) is Whole


class NoTask:
    pass


class Abstract(Task):
    head = "sequence_classification"

    def features(self, rows, tokenizer, encoding, *, train):
        return []


class OddHead(Classification):
    head = "regression"  # type: ignore[assignment]


class NoTrain(Classification):
    def features(self, rows, tokenizer, encoding):  # type: ignore[override]
        return []


class NoRows(Classification):
    def trivial(self):  # type: ignore[override]
        return {}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NoTask, "is not a class made from Task"),
        (Abstract, "Abstract has no method score, trivial"),
        (OddHead, "head must be one of sequence_classification"),
        (NoTrain, r"features must take \(self, rows, tokenizer, encoding, \*, train\)"),
        (NoRows, r"trivial must take \(self, rows\)"),
    ],
)
def test_a_class_that_is_none_is_refused(kind: Any, said: str) -> None:
    with pytest.raises(SmcBenchError, match=said):
        registry.register(MINE, kind)
    assert "mine" not in SPECS
    registry.register(MINE, f"{__name__}:{kind.__name__}")  # looked at when it is needed


def features_of(task: Task, *, train: bool = False) -> Any:
    rows = fixture_rows(SPECS["sst2"], "train")
    tokenizer = wordpiece(row["sentence"] for row in rows)
    return try_task(task, rows, tokenizer, Encoding(32), train=train)


def broken(method: str, value: Any) -> Task:
    def made(self: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return type("Broken", (Classification,), {method: made})(MINE)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (broken("features", TypeError("oh")), "features of .*Broken: failed: TypeError: oh"),
        (broken("features", None), "must return a list of dictionaries"),
        (broken("features", [{"example": 0}]), "a feature has no 'input_ids'"),
        (broken("features", [{"example": 0, "input_ids": []}]), "empty or longer than 32"),
        (broken("features", [{"example": 0, "input_ids": [1]}]), r"1 of \d+ rows have a feature"),
        (broken("score", KeyError("acuracy")), "score of .*: failed: KeyError: 'acuracy'"),
        (broken("score", {"accuracy": 1.0}), "returned dict, not Scores"),
        (broken("score", Scores({"acc": 1.0})), r"gave the metrics \['acc'\], .* \['accuracy'\]"),
        (broken("score", Scores({"accuracy": float("nan")})), "accuracy = nan, which is not a fin"),
        (broken("score", Scores({"accuracy": 50.0}, [1])), r"1 predictions for \d+ rows"),
        (broken("trivial", {}), r"trivial .* gave the metrics \[\]"),
    ],
)
def test_a_task_that_breaks_the_contract_is_told_before_training(task: Task, said: str) -> None:
    with pytest.raises(SmcBenchError, match=said):
        features_of(task)


@pytest.mark.parametrize("train", [True, False])
def test_a_task_that_keeps_the_contract_passes(train: bool) -> None:
    assert len(features_of(Classification(MINE), train=train)) == 8


PLUGIN = """
from dataclasses import replace
from smc_bench.tasks.registry import register
from smc_bench.tasks.specs import SPECS
register(replace(SPECS["sst2"], name="mine", metrics=("acuracy",)))
"""


def test_check_names_the_plugin_and_what_is_wrong(suite_file: Path, tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    suite_file.write_text(suite_file.read_text().replace("sst2", "mine"))
    words = ["check", str(suite_file), "--include", str(tmp_path / "plugin.py")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1
    assert "plugin.py:5: task" in done.output
    assert "task 'mine': unknown metric 'acuracy'" in done.output
