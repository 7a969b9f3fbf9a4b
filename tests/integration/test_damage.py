"""Files that were changed behind the project's back: named, never used, and never a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.integration.test_run import records, smc


def tamper(path: Path) -> None:
    """Weights that always say class 1."""
    tensors = {name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}
    tensors["classifier.bias"] = torch.tensor([-7.0, 7.0])
    save_file(tensors, path, metadata={"format": "pt"})


class Bench:
    """A finished dense cell, and the verbs."""

    def __init__(self, suite: Path, mirror: Path, results: Path) -> None:
        self.suite, self.results = suite, results
        self.where = (suite, "--results", results, "--data-root", mirror)
        self.run("--only", "arm=dense")
        (self.dense,) = (path.parent for path in results.glob("cells/*/*/record.json"))

    def run(self, *words: object, code: int = 0) -> str:
        done = smc("run", *self.where, "--no-report", "--jobs", "1", *words, check=False)
        assert done.returncode == code, done.stderr
        return str(done.stderr)

    def verb(self, *words: object, code: int = 0) -> tuple[str, str]:
        done = smc(words[0], *self.where, *words[1:], check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return str(done.stdout), str(done.stderr)

    def logits(self) -> list[Path]:
        return list(self.results.glob("artefacts/teacher-logits/[!.]*"))

    def edit(self, **changes: Any) -> None:
        path = self.dense / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def bench(suite_file: Path, mirror: Path, tmp_path: Path) -> Bench:
    return Bench(suite_file, mirror, tmp_path / "results")


def test_a_tampered_teacher_is_not_used_and_none_of_it_is_kept(bench: Bench) -> None:
    weights = bench.dense / "weights" / "model.safetensors"
    whole = weights.read_bytes()
    tamper(weights)
    student = ("--only", "arm=guided")
    said = bench.run(*student, code=1)
    assert f"invalid: {weights} has the sha256" in said
    assert "1 of 2 cells done" in said
    assert bench.logits() == []
    _, error = bench.verb("temperatures", code=1)
    assert str(weights) in error
    (bench.dense / "weights" / "config.json").write_text("{}")
    weights.write_bytes(whole)
    assert f"{bench.dense}/weights/config.json has the sha256" in bench.run(
        *student, "--retry", code=1
    )
    assert bench.logits() == []

    bench.run("--force", "--only", "arm=dense")
    bench.run(*student, "--retry")
    assert len(bench.logits()) == 1
    assert all(
        not record["outputs"]["train"]["all_equal"] for record in records(bench.results).values()
    )


def test_one_bad_record_costs_no_other(bench: Bench) -> None:
    bench.run("--only", "arm=plain")
    good = next(path for path in bench.results.glob("cells/*/*/record.json") if "-emb" in str(path))
    before = good.read_text()
    bench.edit(schema_version=99)
    for verb in ("report", "table", "plot"):
        _, error = bench.verb(verb, code=1)
        assert f"left out: {bench.dense}/record.json: written by a newer smc-bench" in error
    stdout, _ = bench.verb("status")
    assert "damaged" in stdout
    bench.edit(schema_version=1, metrics={"accuracy": 940.0})
    said = bench.run(code=1)
    assert f"{bench.dense}/record.json: not a valid record: metrics: " in said
    assert "its teacher" in said
    assert good.read_text() == before
    assert json.loads((bench.dense / "record.json").read_text())["metrics"] == {"accuracy": 940.0}
    bench.run("--force", "--only", "arm=dense")
    assert "3 of 3 cells done" in bench.run()


def test_damaged_artefacts_are_made_again(bench: Bench) -> None:
    for path in bench.results.glob("artefacts/*/*/made.json"):
        path.write_text("")
    assert "2 of 2 cells done" in bench.run("--only", "arm=guided")


def test_settings_and_threads_that_were_changed(bench: Bench) -> None:
    """``cell.json`` is written anew; of threads nothing can be known, so that is said."""
    (bench.dense / "record.json").unlink()
    (bench.dense / "cell.json").write_text("{}")
    bench.run("--only", "arm=dense")
    (bench.dense / "record.json").unlink()
    (bench.dense / "execution.json").write_text('{"threads": "many"}')
    said = bench.run(code=1)
    assert f"{bench.dense}/execution.json: does not say in how many threads" in said
    (bench.dense / "execution.json").unlink()
    assert "3 of 3 cells done" in bench.run("--retry")
