"""One cell in two real processes (gloo): started in every way, killed, stopped, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from smc_bench.cli.common import Session
from smc_bench.sources import Roots
from smc_bench.store.store import CellFolder, Store

WORKER = ("-m", "smc_bench.dispatch.worker.main")
ACCELERATE = ("-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1")
LONG = ("train.duration=600it", "execution.checkpoint_every=0.2s")


@pytest.fixture
def cell(suite_file: Path, mirror: Path, tmp_path: Path) -> Callable[..., tuple[CellFolder, list]]:
    """A pruned cell without dropout in a new results folder, and its worker's options."""

    text = suite_file.read_text().replace("  guided: {}\n", "")
    suite_file.write_text(text.replace("baseline: guidelines", "baseline: smc"))

    def make(name: str, *settings: str) -> tuple[CellFolder, list[str]]:
        store = Store(tmp_path / name)
        roots = Roots.from_environment(mirror, tmp_path / "cache")
        words = ("train.batch=7", "train.dropout=0.0", *settings)
        session = Session(suite_file, None, words, roots, store)
        (found,) = (c for c in session.plan(network=True).cells.values() if c.sparsity > 0)
        folder = store.folder(found.folder)
        folder.create(found.model_dump(mode="json"))
        execution = session.load().suite.execution.model_dump_json()
        options = [found.folder, "--results", str(store.root), "--data-root", str(mirror)]
        return folder, [*options, "--cache", str(tmp_path / "cache"), "--execution", execution]

    return make


def start(log: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, *words], env=environment, stderr=file)


def weights(folder: CellFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.path / "weights" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_way_to_start_two_processes_gives_the_weights_of_one(
    cell: Any, tmp_path: Path
) -> None:
    ways = {
        "one": WORKER,
        "--processes": WORKER,
        "accelerate launch": (*ACCELERATE, "--multi_gpu", "--main_process_port", "0", *WORKER),
    }
    found = {}
    for name, way in ways.items():
        folder, options = cell(name.replace(" ", "-"))
        more = ["--processes", "2"] if name == "--processes" else []
        run = start(tmp_path / "log", *way, *options, *more)
        assert run.wait() == 0, (tmp_path / "log").read_text()
        record = folder.record()
        assert record is not None
        assert record.execution["processes"] == (1 if name == "one" else 2)
        assert folder.latest_attempt() == 1
        found[name] = weights(folder)
    one, *others = found.values()
    for other in others:
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, rtol=0.0, atol=1e-5, msg=name)
            if tensor.ndim == 2:
                assert torch.equal(tensor == 0, other[name] == 0), name
    assert all(torch.equal(t, others[1][n]) for n, t in others[0].items())


def wait_for_checkpoint(folder: CellFolder, attempt: int, run: subprocess.Popen[bytes]) -> None:
    while not any((folder.path / "checkpoints" / f"{attempt:03d}").glob("step-*")):
        assert run.poll() is None
        time.sleep(0.05)


def members(run: subprocess.Popen[bytes]) -> dict[int, int]:
    """Process ids by rank."""
    children = psutil.Process(run.pid).children(recursive=True)
    return {int(c.environ()["RANK"]): c.pid for c in children if "RANK" in c.environ()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_lost_process_or_a_signal_ends_all_and_the_rest_is_done_later(
    cell: Any, tmp_path: Path
) -> None:
    folder, options = cell("broken", *LONG)
    words = (*WORKER, *options, "--processes", "2")
    ends: dict[str, tuple[int, str | None]] = {}

    def strike(name: str, do: Callable[[dict[int, int]], None]) -> None:
        run = start(tmp_path / "log", *words)
        wait_for_checkpoint(folder, len(ends) + 1, run)
        ranks = members(run)
        do(ranks)
        code = run.wait()
        assert not any(psutil.pid_exists(pid) for pid in ranks.values())
        failure = folder.failure()
        ends[name] = (code, None if failure is None else failure.type)

    strike("peer killed", lambda ranks: os.kill(ranks[1], signal.SIGKILL))
    strike("peer told to stop", lambda ranks: os.kill(ranks[1], signal.SIGUSR2))
    assert ends == {
        "peer killed": (1, "killed"),
        "peer told to stop": (4, None),
    }
    assert folder.state() == "interrupted"
    last = start(tmp_path / "log", *WORKER, *options)  # the first attempt's number is kept unasked
    assert last.wait() == 0, (tmp_path / "log").read_text()
    record = folder.record()
    assert record is not None
    assert (record.attempt, record.execution["processes"]) == (3, 2)
    assert "processes_changed" not in record.execution
