"""One identity is one computation, whatever surrounds it: environment, current folder, machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMC = [str(Path(sys.executable).with_name("smc-bench"))]
MODULE = [sys.executable, "-m", "smc_bench"]

# What shells, launchers and other people's instructions leave behind.
HOSTILE = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_USE_MEGATRON_LM": "true",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
    "ACCELERATE_USE_CPU": "true",
    "ACCELERATE_TORCH_DEVICE": "meta",
    "ACCELERATE_DOWNCAST_BF16": "yes",
    "ACCELERATE_DEBUG_MODE": "1",
    "FORK_LAUNCHED": "1",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "192.0.2.1",  # reserved for documentation: nobody answers
    "MASTER_PORT": "1",
    "PMI_RANK": "1",
    "PMI_SIZE": "2",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "MV2_COMM_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "none",
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_NUM_THREADS": "2",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_NUM_THREADS": "2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2",
    "OMP_DYNAMIC": "true",
    "OMP_SCHEDULE": "dynamic",
    "OMP_STACKSIZE": "64M",
    "KMP_AFFINITY": "compact",
    "TORCH_LOGS": "+all",
    "TORCH_COMPILE_DISABLE": "0",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "1",
    "TORCH_CUDNN_V8_API_DISABLED": "1",
    "PYTORCH_JIT": "0",
    "PYTORCH_CUDA_ALLOC_CONF": "nonsense:1",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
    "NVIDIA_TF32_OVERRIDE": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":0:0",
    "CUBLASLT_WORKSPACE_SIZE": "0",
    "CUDNN_LOGINFO_DBG": "1",
    "TRANSFORMERS_VERBOSITY": "debug",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "0",
    "TOKENIZERS_PARALLELISM": "true",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    "PYTHONHASHSEED": "7",
    "PYTHONOPTIMIZE": "2",
    "PYTHONINSPECT": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "PYTHONIOENCODING": "ascii",
    "GIT_DIR": "/nowhere",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "USE_TORCH": "0",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}
# For the runner's own process these would be a user's wish: Python itself acts on them.
_OF_THE_RUNNER = {"PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONDEVMODE"}

BAIT = 'raise SystemExit("imported from the current folder: " + __file__)\n'


def run(
    words: list[str], cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def record(results: Path) -> dict[str, Any]:
    (path,) = results.glob("cells/*/*/record.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def dense(suite: Path, mirror: Path, results: Path, *more: str) -> list[str]:
    where = ["--results", str(results), "--data-root", str(mirror), "--jobs", "1"]
    return ["run", str(suite), *where, "--only", "arm=dense", "--no-report", *more]


def bait(folder: Path) -> Path:
    """A folder of modules that nobody may import, and of an installed package's entry point."""
    folder.mkdir()
    names = "random json torch accelerate transformers safetensors numpy psutil click submitit pip"
    for name in names.split():
        (folder / f"{name}.py").write_text(BAIT)
    (folder / "smc_bench").mkdir()
    (folder / "smc_bench" / "__init__.py").write_text(BAIT)
    (folder / "bad_plugin.py").write_text(BAIT)
    info = folder / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[smc_bench.plugins]\nbad = bad_plugin\n")
    return folder


@pytest.mark.timeout(900)
def test_environment_and_current_folder_do_not_enter_a_cell(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    plain = {"OMP_NUM_THREADS": "1", **{k: v for k, v in os.environ.items() if k not in HOSTILE}}
    hostile = {**plain, **{k: v for k, v in HOSTILE.items() if k not in _OF_THE_RUNNER}}
    here = bait(tmp_path / "here")
    run([*SMC, *dense(suite_file, mirror, tmp_path / "plain")], tmp_path, plain)
    run([*SMC, *dense(suite_file, mirror, tmp_path / "hostile")], here, hostile)
    expected, found = record(tmp_path / "plain"), record(tmp_path / "hostile")
    assert found["cell_id"] == expected["cell_id"]
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["threads"] == expected["threads"] == 1
    assert found["provenance"]["git_commit"] == expected["provenance"]["git_commit"]
    assert found["provenance"]["environment"] == expected["provenance"]["environment"]


def test_python_m_does_not_import_what_lies_here(
    suite_file: Path, mirror: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    bait(here)
    # The package itself is what the user asks for by that name.
    (here / "smc_bench" / "__init__.py").unlink()
    (here / "smc_bench").rmdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run([*MODULE, *dense(suite_file, mirror, tmp_path / "results")], here, environment)
    assert record(tmp_path / "results")["metrics"]


def test_the_users_threads_reach_the_cell(suite_file: Path, mirror: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    run([*SMC, *dense(suite_file, mirror, tmp_path / "results")], tmp_path, environment)
    assert record(tmp_path / "results")["threads"] == 3


@pytest.mark.timeout(900)
def test_no_file_that_is_passed_on_names_a_folder_of_this_machine(
    suite_file: Path, tiny_model: Path, mirror: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    where = [str(suite_file), "--results", str(results), "--data-root", str(mirror)]
    run([*SMC, "run", *where], tmp_path)
    run([*SMC, "report", *where], tmp_path)
    run([*SMC, "verdict", *where], tmp_path)
    run([*SMC, "temperatures", *where, "--temperature", "2"], tmp_path)
    (pruned,) = (p.name.rsplit("-", 1)[1] for p in results.glob("cells/*/*-enc-*"))
    run([*SMC, "export", pruned, "--results", str(results)], tmp_path)
    plan = run([*SMC, "plan", *where, "--json"], tmp_path).stdout
    private = {str(tmp_path), str(tiny_model.parent), str(Path.home())}
    assert not [text for text in private if text in plan]
    # A worker's log is for who looks into a failure here: it may name files.
    files = [p for p in results.rglob("*") if p.is_file() and p.name != "worker.log"]
    kinds = {path.name for path in files}
    assert {"record.json", "cell.json", "table.md", "README.md", "made.json"} <= kinds
    named = [(p.relative_to(results), t) for p in files for t in private if t in _content(p)]
    assert named == []
    dense_record = next(results.glob("cells/*/*-dense-*/record.json"))
    assert json.loads(dense_record.read_text())["cell"]["model"] == f"./{tiny_model.name}"
    again = run([*SMC, "run", *where, "--no-report"], tmp_path)
    assert "3 of 3 cells done" in again.stderr


def _content(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        import gzip

        raw = gzip.decompress(raw)
    return raw.decode("utf-8", errors="replace")
