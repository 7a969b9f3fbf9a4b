from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.engine.execution import Execution
from smc_bench.errors import SuiteError
from smc_bench.suite.load import LoadedSuite, load_suite
from smc_bench.suite.overrides import parse_overrides

SUITE = """
name: one
title: One
model: google-bert/bert-base-uncased
tasks: [sst2]
sparsity: [0.8]
seeds: [1]
baseline: gmp-30ep
execution: {micro_batch: 8, checkpoint_every: 5min, trackers: [tensorboard]}
arms: {a: {}}
profiles:
  small: {execution: {micro_batch: 2, checkpoint_every: 30s}}
"""


def load(tmp_path: Path, *settings: str, profile: str | None = None) -> LoadedSuite:
    path = tmp_path / "one.yaml"
    path.write_text(SUITE)
    return load_suite(path, profile, parse_overrides(settings))


@pytest.mark.parametrize(
    ("settings", "profile", "expected"),
    [
        (["micro_batch=4"], None, (4, "300s", ("tensorboard",))),
        (["micro_batch=4"], "small", (4, "30s", ())),
        (["checkpoint_every=1h", "micro_batch=3"], "small", (3, "3600s", ())),
        (["trackers=[wandb, mlflow]"], None, (8, "300s", ("wandb", "mlflow"))),
        (["trackers=wandb"], None, (8, "300s", ("wandb",))),
        (["micro_batch=null"], None, (None, "300s", ("tensorboard",))),
    ],
)
def test_one_key_leaves_its_section(
    settings: list[str],
    profile: str | None,
    expected: tuple[int | None, str, tuple[str, ...]],
    tmp_path: Path,
) -> None:
    found = load(tmp_path, *(f"execution.{s}" for s in settings), profile=profile)
    micro_batch, every, trackers = expected
    assert found.suite.execution == Execution.model_validate(
        {"micro_batch": micro_batch, "checkpoint_every": every, "trackers": trackers}
    )


def test_a_section_of_the_command_line_is_merged_too(tmp_path: Path) -> None:
    found = load(tmp_path, "execution={micro_batch: 4}", "execution.checkpoint_every=1h")
    assert (found.suite.execution.micro_batch, found.suite.execution.checkpoint_every) == (
        4,
        "3600s",
    )
    assert found.suite.execution.trackers == ("tensorboard",)


@pytest.mark.parametrize(
    ("settings", "rows", "batch"),
    [
        (["train.rows=3"], 3, 32),
        (["train={rows: 3}", "train.batch=4"], 3, 4),
        (["train.batch=4", "train={rows: 3}"], 3, 4),
        (["train.rows=5", "train.rows=010"], 10, 32),
        (["train.rows=5", "train.rows=null"], None, 32),
        (["evaluation=null", "evaluation.batch=2", "train.rows=08"], 8, 32),
    ],
)
def test_later_settings_win_and_sections_merge(
    settings: list[str], rows: int | None, batch: int, tmp_path: Path
) -> None:
    train = load(tmp_path, *settings).recipes["sst2"].arms["a"].train
    assert (train.rows, train.batch) == (rows, batch)


def test_numbers_are_those_of_files(tmp_path: Path) -> None:
    assert load(tmp_path, "seeds=[08, 010]").suite.seeds == (8, 10)
    assert load(tmp_path, "seeds=7", "sparsity=.5", "tasks=mnli").suite.seeds == (7,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train=5", "train.rows=3"], r"^--set train.rows=3: an earlier --set made train 5$"),
        (["train=5"], r"^--set train: must be a section such as \{key: value\} .*in arm 'a'"),
        (["train.rows="], "the value is missing"),
        (["=5"], "write key=value"),
        (["="], "write key=value"),
        ([""], "write key=value"),
        (["train"], "write key=value"),
        (["train..rows=5"], "write key=value"),
        ([".rows=5"], "write key=value"),
        (["train.=5"], "write key=value"),
        (["trian.rows=5"], "unknown key 'trian'; did you mean 'train'"),
        (["train.rwos=5"], r"^--set train.rwos: unknown key; did you mean 'rows'"),
        (["train.rows=0"], r"^--set train.rows: must be 1 or more \(found 0\)"),
        (["train.rows=true"], r"^--set train.rows: true and false mean nothing here"),
        (["lr_schedule.peak=1e999"], "the number 1e999 is too large"),
        (["lr_schedule.peak=.inf"], ".inf is no finite number"),
        (["lr_schedule.kind=lineal"], "unknown kind 'lineal'; did you mean 'linear'"),
        (["train.rows=" + "9" * 5000], "5,000 digits"),
        (["train={rows: *a}"], r"nothing above is marked &a \(rows\)"),
        (["seeds=[1]\n---\n[2]"], "a second document"),
        (["seeds=[1, 1]"], "^--set seeds: a value stands here twice"),
        (["seeds.0=1"], "seeds is set as a whole"),
        (["tasks.0.max_length=16"], "tasks is set as a whole"),
        (["model.name=x"], "model is set as a whole"),
        (["execution=5"], "set one of its keys"),
        (["execution=null"], "set one of its keys"),
        (["execution.micro_batch=0"], "^--set execution.micro_batch: must be 1 or more"),
        (["execution.micro=4"], "^--set execution.micro: unknown key; did you mean 'micro_batch'"),
        (["execution.trackers=[wandbb]"], "^--set execution.trackers.0: must be 'wandb'"),
    ],
)
def test_wrong_settings_are_one_line(settings: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        load(tmp_path, *settings)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
