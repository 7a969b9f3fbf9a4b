"""Asking SLURM: one squeue call, one sacct call, the site's limits. Nothing here submits."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from smc_bench.errors import SlurmError

_TIMEOUT = 60.0

# What squeue says of a job that will still run, or runs.
LIVE = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING"})
WAITING = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
)
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        state: SLURM's word, for example ``RUNNING``.
        reason: Why it waits, or empty.
        node: Where it runs, or empty.
    """

    job: str
    state: str
    reason: str
    node: str

    @property
    def hopeless(self) -> bool:
        """Whether it waits for something that will not come."""
        return self.state == "PENDING" and self.reason == NEVER


@dataclass(frozen=True)
class Accounted:
    """What accounting has of the last start of a job, and the time of all its starts.

    Attributes:
        state: For example ``COMPLETED`` or ``NODE_FAIL``; ``CANCELLED`` without who did it.
        exit_code: ``status:signal``.
        seconds: Wall time of all starts together.
    """

    job: str
    state: str
    exit_code: str
    node: str
    seconds: int


def ask(*words: str) -> str:
    """Standard output of a SLURM command.

    Raises:
        SlurmError: If it is not there, fails, or does not answer within a minute.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except FileNotFoundError:
        raise SlurmError(
            f"{words[0]} was not found: is this a machine of a SLURM cluster?"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{words[0]} did not answer within {_TIMEOUT:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SlurmError(f"{words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def queue() -> dict[str, Queued]:
    """Every job of this user in the queue, array elements one by one.

    Raises:
        SlurmError: If squeue can't be asked.
    """
    text = ask("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%i|%T|%N|%r")
    queued = {}
    for line in text.splitlines():
        job, state, node, reason = line.strip().split("|", 3)
        reason = "" if reason == "None" else reason.strip("()")
        queued[job] = Queued(job, state, reason, node)
    return queued


def accounting(jobs: Iterable[str]) -> dict[str, Accounted]:
    """What sacct has of jobs and arrays, in one call; no call if there is nothing to ask about.

    Raises:
        SlurmError: If sacct can't be asked, as on a cluster without accounting.
    """
    ids = sorted({job.partition("_")[0] for job in jobs}, key=int)
    if not ids:
        return {}
    fields = "JobID,State,ExitCode,NodeList,ElapsedRaw"
    text = ask("sacct", "-n", "-P", "-X", "-D", "-j", ",".join(ids), "-o", fields)
    accounted: dict[str, Accounted] = {}
    for line in text.splitlines():
        job, state, code, node, seconds = line.strip().split("|")[:5]
        if not re.fullmatch(r"\d+(_\d+)?", job):
            continue  # elements that still wait stand here as a range; squeue knows them
        before = accounted[job].seconds if job in accounted else 0
        word = state.split()[0] if state else ""
        accounted[job] = Accounted(job, word, code, node, before + int(seconds or 0))
    return accounted


def job_is_over(job: str) -> bool:
    """Whether a job has ended or waits to be started again; False where SLURM can't be asked."""
    try:
        text = ask("squeue", "-h", "-r", "-j", job, "-o", "%T")
    except SlurmError as error:
        return "Invalid job id" in str(error)
    states = set(text.split())
    return not states or states <= WAITING


def max_array_size() -> int:
    """Most elements of one array at this site (SLURM's own default where it does not say)."""
    try:
        text = ask("scontrol", "show", "config")
    except SlurmError:
        return 1001
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 1001


def max_submit() -> int | None:
    """Most jobs that this user may have in the queue, if accounting names a limit."""
    words = ("sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}")
    try:
        text = ask(*words, "format=MaxSubmitJobs,GrpSubmitJobs")
    except SlurmError:
        return None
    limits = [int(word) for line in text.splitlines() for word in line.split("|") if word.isdigit()]
    return min(limits, default=None)


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs, array elements one by one, in one call.

    Raises:
        SlurmError: If scancel refuses.
    """
    ids = list(jobs)
    if ids:
        ask("scancel", *ids)
