"""Checks of what the harness relies on: the file system, SLURM, GPUs, data, clocks.

Each check returns one :class:`Finding`; none of them changes anything that lasts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smc_bench.dispatch import gpus
from smc_bench.dispatch.slurm import queue as slurm_queue
from smc_bench.errors import SlurmError
from smc_bench.store.files import create_json, write_json
from smc_bench.store.lease import STALE_SECONDS

# Heartbeats are judged by the file system's clock against this machine's.
_SKEW_LIMIT = STALE_SECONDS / 6.0
_COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")

Verdict = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """What one check found; ``bad`` means that cells could be lost or never start."""

    check: str
    verdict: Verdict
    text: str


def check_files(folder: Path) -> list[Finding]:
    """Semantics of the results folder's file system, tried out in a folder that is removed."""
    trial = folder / f".doctor-{os.getpid()}"
    try:
        trial.mkdir(parents=True)
    except OSError as error:
        return [Finding("results folder", "bad", f"{folder}: {error.strerror}")]
    checks: tuple[tuple[str, Callable[[Path], Finding]], ...] = (
        ("atomic rename", _rename),
        ("exclusive create", _exclusive),
        ("locks", _locks),
        ("clock", _clock),
        ("room", _room),
    )
    try:
        return [_guarded(name, check, trial) for name, check in checks]
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _guarded(name: str, check: Callable[[Path], Finding], trial: Path) -> Finding:
    try:
        return check(trial)
    except OSError as error:
        return Finding(name, "bad", f"{error.strerror or error}")


def _rename(trial: Path) -> Finding:
    path = trial / "record.json"
    write_json(path, {"old": True})
    write_json(path, {"old": False})
    (trial / "a").mkdir()
    (trial / "a").rename(trial / "b")
    whole = '"old": false' in path.read_text() and (trial / "b").is_dir()
    return Finding(
        "atomic rename", "ok" if whole else "bad", "files and folders are replaced whole"
    )


def _exclusive(trial: Path) -> Finding:
    path = trial / "lease.json"
    if create_json(path, {}) and not create_json(path, {}):
        return Finding("exclusive create", "ok", "a second writer of a lease is refused")
    text = "two writers both got the same lease: two attempts could run one cell"
    return Finding("exclusive create", "bad", text)


def _locks(trial: Path) -> Finding:
    with (trial / "lock").open("w") as one, (trial / "lock").open("w") as two:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = f"no locks ({error.strerror}): two runners at once may submit a cell twice"
            return Finding("locks", "note", text)
        try:
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return Finding("locks", "ok", "two runners at once submit one after the other")
            raise
    return Finding("locks", "note", "locks do not exclude: two runners may submit a cell twice")


def _clock(trial: Path) -> Finding:
    path = trial / "clock"
    before = time.time()
    path.touch()
    skew = path.stat().st_mtime - (before + time.time()) / 2.0
    text = f"file times are {skew:+.1f} s off this machine's clock"
    bad = abs(skew) > _SKEW_LIMIT
    return Finding("clock", "bad" if bad else "ok", text)


def _room(trial: Path) -> Finding:
    free = shutil.disk_usage(trial).free / 2**30
    return Finding("room", "ok" if free >= 1.0 else "bad", f"{free:.1f} GiB free")


def check_slurm(partition: str | None, *, needed: bool = True) -> list[Finding]:
    """SLURM's commands, accounting, limits, and the partition if one is named.

    A machine without any of the commands is no cluster: that is bad only where one is ``needed``.
    """
    absent = [name for name in _COMMANDS if shutil.which(name) is None]
    if absent == list(_COMMANDS) and not needed:
        return [Finding("slurm", "note", "no SLURM here: cells run on this machine")]
    if absent:
        return [Finding("slurm", "bad", f"not found: {', '.join(absent)}")]
    if not needed and _unconfigured():
        text = "SLURM's commands are here, but no cluster is set up: cells run on this machine"
        return [Finding("slurm", "note", text)]
    findings = [Finding("slurm", "ok", f"found: {', '.join(_COMMANDS)}")]
    findings.append(_asked("squeue", lambda: f"{len(slurm_queue.queue())} jobs of yours"))
    findings.append(_asked("sacct", lambda: _accounting()))
    limit = slurm_queue.max_submit()
    text = f"arrays up to {slurm_queue.max_array_size()}, jobs in the queue: "
    findings.append(Finding("limits", "ok", text + (str(limit) if limit else "no limit named")))
    if partition is not None:
        findings.append(_asked("partition", lambda: _partition(partition)))
    return findings


def _unconfigured() -> bool:
    """Whether SLURM is installed but belongs to no cluster (its own words)."""
    try:
        slurm_queue.queue()
    except SlurmError as error:
        return "configuration source" in str(error)
    return False


def _asked(check: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(check, "ok", ask())
    except SlurmError as error:
        return Finding(check, "bad", str(error))


def _accounting() -> str:
    slurm_queue.ask("sacct", "-n", "-P", "-X", "-S", "now-1minutes", "-o", "JobID")
    return "accounting answers: killed jobs are told from lost ones"


def _partition(name: str) -> str:
    text = slurm_queue.ask("sinfo", "-h", "-p", name, "-o", "%D nodes, time limit %l, %G").strip()
    if not text:
        raise SlurmError(f"there is no partition {name!r}")
    return f"{name}: {'; '.join(sorted(set(text.splitlines())))}"


def check_gpus() -> Finding:
    """GPUs of this machine (a login node usually has none)."""
    if shutil.which("nvidia-smi") is None:
        return Finding(
            "gpu", "note", "no nvidia-smi here: cells run on the CPU where none is given"
        )
    found = gpus.visible()
    names = ", ".join(dict.fromkeys(gpu.name for gpu in found if gpu.name))
    text = f"{len(found)} GPUs that may be used{f' ({names})' if names else ''}"
    return Finding("gpu", "ok" if found else "note", text)


_PROBE = """
import os, sys, time
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(time.time()))
os.replace(sys.argv[1] + ".new", sys.argv[1])
"""


def check_node(folder: Path, partition: str | None, limit: float) -> Finding:
    """Run a tiny job: does a compute node see this folder, and agree on the time?

    Args:
        folder: Results folder.
        partition: Where to run it, or None for the site's default.
        limit: Seconds to wait for it.
    """
    trial = (folder / f".doctor-node-{os.getpid()}").absolute()
    trial.mkdir(parents=True)
    try:
        (trial / "probe.py").write_text(_PROBE)
        command = shlex.join([sys.executable, f"{trial}/probe.py", f"{trial}/answer"])
        where = [] if partition is None else ["-p", partition]
        words = ("sbatch", "--parsable", "-t", "1", "-J", "smc-bench-doctor", "-o", "/dev/null")
        try:
            job = slurm_queue.ask(*words, *where, "--wrap", command).strip().partition(";")[0]
        except SlurmError as error:
            return Finding("compute node", "bad", str(error))
        return _answer(trial, job, limit)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _answer(trial: Path, job: str, limit: float) -> Finding:
    until = time.monotonic() + limit
    while time.monotonic() < until:
        try:
            age = time.time() - float((trial / "answer").read_text())
        except FileNotFoundError:
            time.sleep(0.5)
            continue
        text = f"job {job} wrote into this folder; clocks differ by at most {abs(age):.1f} s"
        return Finding("compute node", "bad" if abs(age) > _SKEW_LIMIT else "ok", text)
    slurm_queue.cancel([job])
    text = (
        f"job {job} left no answer within {limit:.0f} s: the queue is long, or nodes do not see it"
    )
    return Finding("compute node", "bad", text)
