"""A stand-in for SLURM's commands, enough for what smc-bench and submitit call.

One file, linked under each command's name; state lies in ``$FAKE_SLURM``. Nothing runs by itself:
:class:`FakeSlurm` starts jobs when a test says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sacctmgr", "srun", "sinfo")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL"}


class State:
    """Jobs (array elements one by one), and what the site allows."""

    def __init__(self, root: Path) -> None:
        self.path = root / "state.json"
        if self.path.exists():
            content = json.loads(self.path.read_text())
        else:
            content = {"jobs": {}, "next": 1, "site": {}, "calls": []}
        self.jobs: dict[str, dict[str, Any]] = content["jobs"]
        self.next: int = content["next"]
        self.site: dict[str, Any] = content["site"]
        self.calls: list[str] = content["calls"]

    def save(self) -> None:
        content = {"jobs": self.jobs, "next": self.next, "site": self.site, "calls": self.calls}
        self.path.write_text(json.dumps(content, indent=1))

    def reason(self, job: dict[str, Any]) -> str:
        after = re.search(r"afterok:(\d+)", job["flags"].get("dependency", ""))
        if job["state"] != "PENDING":
            return "None"
        if after is None:
            return "Resources"
        state = self.jobs[after[1]]["state"]
        if state in ENDED - {"COMPLETED"}:
            return "DependencyNeverSatisfied"
        return "Resources" if state == "COMPLETED" else "Dependency"


class FakeSlurm:
    """A test's view of the stand-in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir(parents=True)
        for name in COMMANDS:
            script = root / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
            script.chmod(0o755)
        State(root).save()

    @property
    def state(self) -> State:
        return State(self.root)

    def site(self, **settings: Any) -> None:
        """Set ``MaxArraySize``, ``max_submit``, or ``down`` (commands that fail)."""
        state = self.state
        state.site |= settings
        state.save()

    def set(self, job: str, **changes: Any) -> None:
        state = self.state
        state.jobs[job] |= changes
        state.save()

    def run_all(self) -> None:
        """Run every job that may start, in order, until none is left."""
        while True:
            state = self.state
            ready = [j for j, job in state.jobs.items() if state.reason(job) == "Resources"]
            if not ready:
                return
            self.run(ready[0])

    def run(self, name: str) -> int:
        """Run one job as a node would."""
        job = self.state.jobs[name]
        array, _, task = name.partition("_")
        environment = {**os.environ, "SLURM_JOB_ID": array, "SLURMD_NODENAME": "node1"}
        environment["SLURM_CPUS_PER_TASK"] = "1"
        if task:
            environment |= {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task}
        self.set(name, state="RUNNING")
        done = subprocess.run(
            ["bash", job["script"]],
            cwd=job["folder"],
            env=environment,
            capture_output=True,
            text=True,
        )
        code = done.returncode
        self.set(name, state="FAILED" if code else "COMPLETED", exit=f"{code}:0", seconds=10)
        return code


def sbatch(state: State, words: list[str]) -> str:
    script = words[-1]
    text = Path(script).read_text()
    flags = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.MULTILINE))
    flags = {key: value.strip("'\"") for key, value in flags.items()}
    top = int(re.match(r"0-(\d+)", flags["array"])[1]) if "array" in flags else 0
    if top >= int(state.site.get("MaxArraySize", 1001)):
        sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")
    waiting = sum(job["state"] not in ENDED for job in state.jobs.values())
    if waiting + top + 1 > int(state.site.get("accepts", 10**6)):
        sys.exit("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    number = str(state.next)
    state.next += 1
    names = [f"{number}_{i}" for i in range(top + 1)] if "array" in flags else [number]
    for name in names:
        state.jobs[name] = {
            "state": "PENDING", "flags": flags, "script": script, "folder": os.getcwd()
        }  # fmt: skip
    return f"Submitted batch job {number}"


def squeue(state: State, words: list[str]) -> str:
    jobs = {name: job for name, job in state.jobs.items() if job["state"] not in ENDED}
    if "-j" in words:
        wanted = words[words.index("-j") + 1]
        if not any(name.partition("_")[0] == wanted.partition("_")[0] for name in state.jobs):
            sys.exit("slurm_load_jobs error: Invalid job id specified")
        return "\n".join(job["state"] for name, job in jobs.items() if name == wanted)
    lines = []
    for name, job in jobs.items():
        lines.append(f"{name}|{job['state']}|{job.get('node', '')}|{state.reason(job)}")
    return "\n".join(lines)


def sacct(state: State, words: list[str]) -> str:
    wanted = words[words.index("-j") + 1].split(",") if "-j" in words else []
    lines = []
    for name, job in state.jobs.items():
        if name.partition("_")[0] in wanted and job["state"] != "PENDING" and "gone" not in job:
            code, seconds = job.get("exit", "0:0"), job.get("seconds", 0)
            lines.append(f"{name}|{job['state']}|{code}|node1|{seconds}")
    return "\n".join(lines)


def scancel(state: State, words: list[str]) -> str:
    for name in words:
        job = state.jobs[name]
        # SLURM keeps no trace of an element that is cancelled before it starts.
        job |= {"state": "CANCELLED", "gone": True} if job["state"] == "PENDING" else {
            "state": "CANCELLED"
        }  # fmt: skip
    return ""


def scontrol(state: State, words: list[str]) -> str:
    return f"MaxArraySize            = {state.site.get('MaxArraySize', 1001)}"


def sacctmgr(state: State, words: list[str]) -> str:
    return f"{state.site.get('max_submit', '')}|"


def sinfo(state: State, words: list[str]) -> str:
    return "2 nodes, time limit infinite, (null)" if "test" in words else ""


def srun(words: list[str]) -> None:
    """Run the command with its output where submitit wants it."""
    outputs = {}
    while words and words[0].startswith("--"):
        flag = words.pop(0)
        if flag in {"--output", "--error"}:
            name = os.environ["SLURM_JOB_ID"]
            task = os.environ.get("SLURM_ARRAY_TASK_ID")
            job = f"{name}_{task}" if task else name
            path = words.pop(0).replace("%A_%a", job).replace("%j", job).replace("%t", "0")
            outputs[flag] = path
    for flag, number in (("--output", 1), ("--error", 2)):
        os.dup2(os.open(outputs[flag], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.execvp(words[0], words)


def main() -> None:
    name, words = sys.argv[1], sys.argv[2:]
    if name == "srun":
        srun(words)
    state = State(Path(os.environ["FAKE_SLURM"]))
    state.calls.append(name)
    state.save()
    if name in state.site.get("down", []):
        sys.exit(f"{name}: error: Unable to contact slurm controller")
    answer = globals()[name](state, words)
    if answer:
        print(answer)
    state.save()


if __name__ == "__main__":
    main()
