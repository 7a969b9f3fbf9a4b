"""``show``: all that is known of one cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smc_bench.cli.main import cli
from smc_bench.store.record import Failure
from smc_bench.store.store import Store
from tests.helpers.carried import cell_of, finish


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["show", *map(str, arguments)])


def test_a_finished_cell_is_told_whole(tmp_path: Path) -> None:
    folder = finish(tmp_path, cell_of(), weights=True)
    done = run(cell_of().id[:6], "--results", tmp_path)
    assert done.exit_code == 0
    for said in (
        f"{cell_of().id}  done", "accuracy  75.0000", "encoder", "50.0000%  500 of 1,000",
        "recipe.distillation.temperature: 5.5", "git_commit: " + "a" * 40, "packages.torch: 2.6.0",
        "weights/model.safetensors  7 bytes", "loss",
    ):  # fmt: skip
        assert said in done.stdout
    found = json.loads(run(cell_of().id, "--results", tmp_path, "--json").stdout)["data"]
    assert found["record"] == json.loads((folder.path / "record.json").read_text())
    assert found["cell"] == cell_of().model_dump(mode="json")
    assert found["curve"][-1] == {"step": 500, "loss": 1 / 500}


def test_a_failed_cell_says_why(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder(cell_of().folder)
    folder.create(cell_of().model_dump(mode="json"))
    lines = ['{"phase": "train", "step": 1, "loss": NaN, "lr": 0.1}', '{"step', "[]"]
    (folder.path / "train.jsonl").write_text("\n".join(lines))
    folder.write_failure(Failure(type="diverged", message="loss is nan", attempt=1, time="now"))
    done = run(cell_of().id, "--results", tmp_path)
    assert done.exit_code == 0
    assert "failed: diverged at now: loss is nan" in done.stdout
    assert "seed: 1" in done.stdout
    curve = json.loads(run(cell_of().id, "--results", tmp_path, "--json").stdout)["data"]["curve"]
    assert curve == [{"step": 1, "loss": None, "lr": 0.1}]


def test_settings_that_are_no_settings_are_not_shown(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder(cell_of().folder)
    folder.create(cell_of().model_dump(mode="json"))
    (folder.path / "cell.json").write_text("[1]")
    done = run(cell_of().id, "--results", tmp_path)
    assert (done.exit_code, "\nsettings\n" in done.stdout) == (0, False)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_record_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    (finish(tmp_path, cell_of()).path / "record.json").write_text(text)
    done = run(cell_of().id, "--results", tmp_path)
    assert done.exit_code == 1
    assert "damaged" in done.stdout
    assert "record.json" in done.stderr


def test_an_unknown_id_is_one_line(tmp_path: Path) -> None:
    done = run("abc", "--results", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no cell below" in done.stderr
