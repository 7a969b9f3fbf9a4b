"""Which environment variables reach a process that computes: those listed here, and no others.

A user's shell may hold anything, and much of it changes numbers or hangs a process: accelerate and
torch read hundreds of variables, a launcher's ``RANK`` makes a process wait for others, and
``NVIDIA_TF32_OVERRIDE`` or ``ATEN_CPU_CAPABILITY`` move bits. Under one identity a cell has to be
one computation, so a worker gets the variables of :data:`PASSED`, and what the harness sets itself.

``SMC_BENCH_PASS=NAME,NAME`` lets further variables through; a record then names them.
"""

from __future__ import annotations

import os
import re
import site
import sysconfig
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

PASS = "SMC_BENCH_PASS"

_WHY_PASSED = {
    "machine, user, language": "PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR TEMP TMP",
    "network": "http_proxy https_proxy ftp_proxy all_proxy no_proxy "
    "HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY NETRC",
    "certificates": "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE",
    "the Hub, by older names": "HUGGING_FACE_HUB_TOKEN HUGGINGFACE_HUB_CACHE TRANSFORMERS_OFFLINE",
    "devices": "CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES "
    "CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY",
    "libraries": "LD_LIBRARY_PATH LD_PRELOAD CUDA_HOME CUDA_PATH CUDA_CACHE_PATH",
    "Python's packages": "VIRTUAL_ENV PYTHONPATH PYTHONNOUSERSITE PYTHONUSERBASE "
    "PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX",
    "how long threads look for work: time, never numbers": "GOMP_SPINCOUNT",
}
_PREFIXES = (
    "LC_ XDG_ CONDA_ HF_ SMC_BENCH_ SLURM_ SLURMD_ NVIDIA_ NCCL_ GLOO_ "
    "WANDB_ MLFLOW_ TRACKIO_ TENSORBOARD_"
)
_SET = (
    "OMP_NUM_THREADS OMP_WAIT_POLICY GOMP_SPINCOUNT GLIBC_TUNABLES TOKENIZERS_PARALLELISM "
    "CUBLAS_WORKSPACE_CONFIG PYTHONPATH PYTHONSAFEPATH PYTHONUTF8"
)
_LAUNCHER = (
    "RANK LOCAL_RANK GROUP_RANK ROLE_RANK WORLD_SIZE LOCAL_WORLD_SIZE GROUP_WORLD_SIZE "
    "ROLE_WORLD_SIZE MASTER_ADDR MASTER_PORT ACCELERATE_USE_CPU"
)

PASSED = frozenset(name for names in _WHY_PASSED.values() for name in names.split())
PASSED_PREFIXES = tuple(_PREFIXES.split())
WITHHELD = frozenset({"NVIDIA_TF32_OVERRIDE"})
"""What a prefix would let through and must not."""

SET = frozenset(_SET.split())
"""What the harness itself gives every worker."""

LAUNCHER = frozenset(_LAUNCHER.split())
LAUNCHER_PREFIXES = ("TORCHELASTIC_", "OMPI_", "PMI_", "PMIX_", "MV2_")
"""What torchrun, accelerate launch or MPI tell the processes that they start."""

# Of what passes, what can move bits: sums over GPUs, and libraries put in another's place.
_RECORDED = ("NCCL_", "GLOO_")
_LIBRARIES = ("LD_PRELOAD", "LD_LIBRARY_PATH")


def passed(environ: Mapping[str, str], *, launched: bool = False) -> dict[str, str]:
    """The variables of an environment that may reach a process that computes.

    Args:
        environ: The whole environment.
        launched: Whether a launcher started this process, so that its variables count as well.
    """
    more = _named(environ)
    return {
        name: value
        for name, value in environ.items()
        if _passes(name) or name in more or (launched and _of_launcher(name))
    }


def clean(environ: MutableMapping[str, str], *, launched: bool = False) -> None:
    """Remove from a worker's own environment what neither passes nor was set by the harness.

    For a worker that was started by hand or by another launcher. It has to come before torch is
    loaded, which reads most of them once.
    """
    kept = passed(environ, launched=launched).keys() | SET
    for name in environ.keys() - kept:
        del environ[name]
    for name, value in fixed(environ).items():
        environ[name] = value


def fixed(environ: Mapping[str, str]) -> dict[str, str]:
    """What is the same for every worker, whatever the environment says."""
    return {
        # Workers that spin for each other's cores are many times slower than passive ones.
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        # Modules and entry points that lie in the current folder are none of ours.
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
        "GLIBC_TUNABLES": _memory_settings(environ),
    }


@contextmanager
def computing() -> Iterator[None]:
    """Run a verb that computes in this process as a worker would, with the user's threads.

    It has to come before torch is loaded.
    """
    before = dict(os.environ)
    clean(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def recorded(environ: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Of the variables that pass, those that can move bits; no paths, and of libraries the names.

    ``passed`` names (without values, which may be secret) what ``SMC_BENCH_PASS`` let through.
    """
    found: dict[str, str | list[str]] = {
        name: _without_folders(value)
        for name, value in sorted(environ.items())
        if name.startswith(_RECORDED)
    }
    for name in _LIBRARIES:
        if environ.get(name):
            found[name] = _without_folders(environ[name]) if name == "LD_PRELOAD" else "set"
    more = sorted(name for name in _named(environ) if name in environ)
    return {**found, "passed": list(more)} if more else found


def python_path(environ: Mapping[str, str], parent: Path) -> str:
    """``PYTHONPATH`` of a worker: this very package first, then the user's own folders.

    Where the package is installed among the others, Python finds it as it finds those. Empty parts,
    which a trailing colon leaves, would stand for the current folder: they are left out.
    """
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    ours = [] if str(parent) in places else [str(parent)]
    users = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join([*ours, *users])


def asked_threads(environ: Mapping[str, str]) -> int | None:
    """The user's ``OMP_NUM_THREADS``; None where it is not set, or no number.

    Of a list for nested loops (``4,2``) the outermost counts, which is what torch goes by.
    """
    first = environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if re.fullmatch(r"[1-9][0-9]{0,4}", first) else None


def _named(environ: Mapping[str, str]) -> set[str]:
    return {name.strip() for name in environ.get(PASS, "").split(",")} - {""}


def _passes(name: str) -> bool:
    return name not in WITHHELD and (name in PASSED or name.startswith(PASSED_PREFIXES))


def _of_launcher(name: str) -> bool:
    return name in LAUNCHER or name.startswith(LAUNCHER_PREFIXES)


def _without_folders(value: str) -> str:
    return re.sub(r"[^\s:,=]*/", "", value)


# glibc gives blocks beyond 32 MB, and what is free at the heap's end, back to the system at once; a
# training step asks for them again, page by page. Kept, a step takes about a sixth less time.
_KEEP_MEMORY = (
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.top_pad=67108864"
)


def _memory_settings(environ: Mapping[str, str]) -> str:
    """The harness's, then the user's: where a name comes twice, glibc takes the last.

    Only those of malloc: others choose between versions of exp() and log() for the processor.
    """
    ours = _KEEP_MEMORY.split(":")
    users = environ.get("GLIBC_TUNABLES", "").split(":")
    return ":".join(ours + [p for p in users if p.startswith("glibc.malloc.") and p not in ours])
