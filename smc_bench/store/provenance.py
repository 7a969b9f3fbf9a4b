"""Where a record came from: code, packages, machine. No user, host or path names."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from smc_bench.environment import recorded

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "evaluate", "accelerate", "numpy")
BUILT_FROM = Path(__file__).resolve().parents[1] / "_built_from.json"
"""In a wheel: the commit that it was built from."""


def provenance(pins: dict[str, str]) -> dict[str, Any]:
    """Git commit and dirty flag, package versions, hardware, and the pins of data and weights."""
    return {**_of_process(), "pins": pins}


@cache
def _of_process() -> dict[str, Any]:
    """What does not change while a process lives: the code that it has loaded, and the machine."""
    return {
        **_git(),
        "packages": {name: _version(name) for name in ("smc-bench", *PACKAGES)},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "environment": recorded(os.environ),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor_flags() -> frozenset[str]:
    """Instruction sets of the processor, as Linux names them; empty where that is not known."""
    return frozenset(_cpuinfo("flags").split())


@cache
def processor() -> str:
    """Name of the processor, as Linux has it."""
    return _cpuinfo("model name") or platform.processor()


def _cpuinfo(key: str) -> str:
    """The first value of a key of /proc/cpuinfo, or nothing."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def _git() -> dict[str, Any]:
    """The commit of this code: of its checkout, or that a wheel was built from; else not known.

    An environment that lies inside somebody's own repository is not a checkout of this code.
    """
    folder = Path(__file__).resolve().parent

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if ask("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return _built_from()
    commit = ask("rev-parse", "HEAD")
    dirty = ask("status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": None if dirty is None else bool(dirty)}


def _built_from() -> dict[str, Any]:
    """What ``scripts/build_commit.py`` has put into a wheel."""
    try:
        found = json.loads(BUILT_FROM.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("git_commit", "git_dirty")}
    except (OSError, ValueError, LookupError, TypeError):
        return {"git_commit": None, "git_dirty": None}
