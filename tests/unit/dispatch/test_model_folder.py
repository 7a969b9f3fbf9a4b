from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.dispatch.inputs.model import look_at_model
from smc_bench.sources import Lock, Roots
from tests.helpers.records import suite_file

Break = Callable[[Path], object]


def config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: None, ""),
        (truncated, "model.safetensors is not a whole safetensors file"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "it has no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "there is no tokenizer"),
        (lambda folder: config(folder, model_type="bart"), "the architecture 'bart' is not one"),
        (lambda folder: config(folder, max_position_embeddings=8), "max_length 64 is more than"),
    ],
)
def test_check_opens_the_folder_of_a_model(
    tiny_model: Path, tmp_path: Path, spoil: Break, said: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    spoil(folder)
    suite = suite_file(tmp_path, tasks="{name: sst2, max_length: 64}", model=str(folder))
    done = CliRunner().invoke(cli, ["check", str(suite), "--results", str(tmp_path / "r")])
    assert done.exit_code == (1 if said else 0), done.output
    if said:
        assert said in done.stderr
        assert str(folder) in done.stderr
    else:
        assert "opened" in done.stdout


def test_what_is_not_here_is_not_said_to_be_right(tmp_path: Path) -> None:
    roots = Roots.from_environment(None, tmp_path / "cache", offline=True)
    found = look_at_model("nobody/none", [64], roots, Lock.load(tmp_path / "lock.json"))
    assert "not looked at" in found
