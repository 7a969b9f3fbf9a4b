"""What of a user's environment reaches a process that computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smc_bench.dispatch.local.capacity import budget, this_machine
from smc_bench.dispatch.worker.command import PACKAGE_PARENT, WorkerSpec, worker_environment
from smc_bench.engine.accelerator import accelerator
from smc_bench.environment import (
    SET,
    asked_threads,
    clean,
    computing,
    passed,
    python_path,
    recorded,
)
from tests.integration.test_surroundings import HOSTILE

NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TMPDIR": "/scratch",
    "HF_HOME": "/hub",
    "HF_HUB_OFFLINE": "1",
    "HF_TOKEN": "secret",
    "HF_ENDPOINT": "https://mirror",
    "https_proxy": "http://proxy",
    "REQUESTS_CA_BUNDLE": "/ca.pem",
    "CUDA_VISIBLE_DEVICES": "1",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "LD_LIBRARY_PATH": "/lib",
    "SMC_BENCH_OFFLINE": "1",
    "WANDB_API_KEY": "secret",
    "MLFLOW_TRACKING_URI": "http://mlflow",
    "SLURM_JOB_ID": "7",
    "SLURMD_NODENAME": "node1",
    "XDG_CACHE_HOME": "/cache",
    "VIRTUAL_ENV": "/venv",
    "CONDA_PREFIX": "/conda",
    "NCCL_SOCKET_IFNAME": "eth0",
}


def test_what_is_needed_passes_and_nothing_else() -> None:
    assert passed({**NEEDED, **HOSTILE, "ANYTHING": "else"}) == NEEDED


def test_a_launchers_variables_pass_only_to_what_it_started() -> None:
    launcher = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "OMPI_COMM_WORLD_SIZE": "2"}
    assert passed(launcher) == {}
    assert passed({**launcher, "ACCELERATE_MIXED_PRECISION": "fp8"}, launched=True) == launcher


def test_a_workers_environment_is_what_passes_and_what_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**NEEDED, **HOSTILE}.items():
        monkeypatch.setenv(name, value)
    given = worker_environment(3)
    assert set(HOSTILE) & set(given) <= SET
    assert {name: given[name] for name in NEEDED} == NEEDED
    assert given["OMP_NUM_THREADS"] == "3"
    assert given["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "hwcaps" not in given["GLIBC_TUNABLES"]


def test_a_worker_started_by_hand_cleans_its_own_environment() -> None:
    environ = {**NEEDED, **HOSTILE, "OMP_NUM_THREADS": "5", "PYTHONPATH": "/mine"}
    clean(environ)
    assert set(environ) - set(NEEDED) <= SET
    assert (environ["OMP_NUM_THREADS"], environ["PYTHONPATH"]) == ("5", "/mine")
    assert environ["TOKENIZERS_PARALLELISM"] == "false"


def test_a_verb_that_computes_here_gives_the_environment_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    before = dict(os.environ)
    with computing():
        assert "ACCELERATE_MIXED_PRECISION" not in os.environ
        os.environ["LEFT"] = "1"
    assert dict(os.environ) == before


def test_what_is_let_through_by_name_is_named_in_the_record() -> None:
    environ = {"SMC_BENCH_PASS": "AWS_SECRET, MISSING", "AWS_SECRET": "x", "OTHER": "y"}
    assert passed(environ) == {k: environ[k] for k in ("SMC_BENCH_PASS", "AWS_SECRET")}
    assert recorded(environ) == {"passed": ["AWS_SECRET"]}


def test_a_record_has_what_can_move_bits_without_paths() -> None:
    environ = {
        "NCCL_ALGO": "Ring",
        "NCCL_TOPO_FILE": "/home/me/topo.xml",
        "LD_PRELOAD": "/home/me/lib/libtcmalloc.so:/opt/libx.so",
        "LD_LIBRARY_PATH": "/home/me/lib",
        "HOME": "/home/me",
        "HF_TOKEN": "secret",
    }
    assert recorded(environ) == {
        "NCCL_ALGO": "Ring",
        "NCCL_TOPO_FILE": "topo.xml",
        "LD_PRELOAD": "libtcmalloc.so:libx.so",
        "LD_LIBRARY_PATH": "set",
    }


def test_empty_parts_of_the_users_path_are_not_the_current_folder() -> None:
    parent = Path("/src")
    given = os.pathsep.join(["", "/mine", "", "/more", ""])
    assert python_path({"PYTHONPATH": given}, parent) == os.pathsep.join(["/src", "/mine", "/more"])
    installed = Path(next(p for p in sys.path if p.endswith("site-packages")))
    assert python_path({}, installed) == ""


def test_a_worker_finds_this_package_and_nothing_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "smc_bench").mkdir()
    (tmp_path / "smc_bench" / "__init__.py").write_text("raise SystemExit('here')")
    (tmp_path / "random.py").write_text("raise SystemExit('here')")
    command = WorkerSpec(Path("results"), Path("cache")).command()
    assert command[:4] == [sys.executable, "-P", "-m", "smc_bench.dispatch.worker.main"]
    code = "import sys, random, smc_bench, json; print(json.dumps([smc_bench.__file__, sys.path]))"
    done = subprocess.run(
        [*command[:2], "-c", code],
        cwd=tmp_path, env=worker_environment(1), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, path = json.loads(done.stdout)
    assert Path(found).parent.parent == PACKAGE_PARENT
    assert not {"", str(tmp_path)} & set(path)


@pytest.mark.parametrize(
    ("text", "threads"),
    [("4", 4), ("4,2", 4), (" 4 ", 4), ("", None), ("0", None), ("-1", None), ("many", None)],
)
def test_the_users_threads(text: str, threads: int | None) -> None:
    assert asked_threads({"OMP_NUM_THREADS": text}) == threads


def test_threads_are_those_asked_for_else_the_users_else_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert budget(None, 2, 8) == 8
    assert budget(3, 2, 8) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert budget(None, 2, 8) == 6
    assert budget(16, 2, 8) == 16
    # A thread a process, which many shells ask for, does not make cells wait for each other.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert budget(None, 2, 8) == 2
    assert budget(None, 4, 2) == 2
    assert this_machine(1, (), 5).cores == 5


def test_accelerate_is_told_nothing_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    made = accelerator("no")
    assert made.gradient_accumulation_steps == 1
    assert made.mixed_precision == "no"
    assert made.num_processes == 1
    assert made.distributed_type.value == "NO"
    assert made.state.dynamo_plugin.backend.value == "NO"
    assert os.environ["RANK"] == HOSTILE["RANK"]
