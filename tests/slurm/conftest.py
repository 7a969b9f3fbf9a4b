"""A real SLURM, started by the project's own script; opt-in, because it installs packages.

``SMC_BENCH_TEST_SLURM=1`` runs all scenarios, ``quick`` leaves out those marked ``slurm_long``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from smc_bench.store.store import CellFolder, Store

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "scripts" / "slurm-cluster.sh"
CHOICE = os.environ.get("SMC_BENCH_TEST_SLURM")
PATIENCE = 900.0  # a limit against hanging, in seconds; no test passes or fails by how fast it is


@pytest.fixture(autouse=True)
def _marked(request: pytest.FixtureRequest) -> None:
    """Every test here needs the cluster."""
    if CHOICE == "quick" and request.node.get_closest_marker("slurm_long"):
        pytest.skip("left out by SMC_BENCH_TEST_SLURM=quick; `make test-slurm` runs it")
    request.getfixturevalue("cluster")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if CHOICE not in {"1", "quick"}:
        pytest.skip("a real SLURM is started only by `make test-slurm` (it installs packages)")
    can = subprocess.run(["bash", str(SCRIPT), "can"], capture_output=True, text=True)
    if can.returncode != 0:
        pytest.skip(f"no SLURM here: {can.stdout.strip()}")
    root = Path(os.environ.get("SMC_SLURM_ROOT", "/tmp/smc-bench-slurm"))
    try:
        subprocess.run(
            ["bash", str(SCRIPT), "start"], check=True, timeout=400, capture_output=True, text=True
        )
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        pytest.skip(f"no SLURM here: {said[0]}")
    os.environ["SLURM_CONF"] = str(root / "etc" / "slurm.conf")
    yield Cluster(root)
    if os.environ.get("SMC_BENCH_KEEP_SLURM") != "1":
        subprocess.run(["bash", str(SCRIPT), "stop"], check=False, timeout=120)


def wait_for(what: str, condition: Callable[[], Any], every: float = 0.02) -> Any:
    """Poll until a condition holds; its value. What starts a process is asked less often."""
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < limit, f"{what} did not come about"
        time.sleep(every)
    return found


@dataclass(frozen=True)
class Cluster:
    """The cluster as an operator sees it."""

    root: Path

    def ask(self, *words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def kill_daemon(self, node: str) -> None:
        """Kill a node's slurmd; its jobs live on."""
        pid = int((self.root / "run" / f"slurmd.{node}.pid").read_text())
        assert psutil.Process(pid).name() == "slurmd"
        os.kill(pid, signal.SIGKILL)

    def kill_node(self, node: str) -> None:
        """Kill a node's slurmd and all that runs there, as a loss of power would."""
        self.kill_daemon(node)
        tasks = [p for p in psutil.process_iter() if _environment(p).get("SLURMD_NODENAME") == node]
        steps = {a for p in tasks for a in p.parents() if a.name() == "slurmstepd"}
        # First those that would report the end of the others.
        for process in [*steps, *tasks]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def start_node(self, node: str) -> None:
        subprocess.run(["bash", str(SCRIPT), "node", node], check=True, timeout=120)

    def state(self, job: str) -> str:
        return self.ask("squeue", "-h", "-r", "-j", job, "-o", "%T")


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.name() == "slurmd" else process.environ()
    except psutil.Error:
        return {}


@dataclass
class Bench:
    """smc-bench on one suite and one results folder."""

    suite: Path
    mirror: Path
    results: Path
    settings: list[str] = field(default_factory=list)

    def words(self, verb: str, *more: object) -> list[str]:
        place = [str(self.suite), "--results", str(self.results), "--data-root", str(self.mirror)]
        sets = [word for setting in self.settings for word in ("--set", setting)]
        return [sys.executable, "-m", "smc_bench", verb, *place, *sets, *map(str, more)]

    def smc(self, verb: str, *more: object, ok: bool | None = True) -> str:
        """Run a verb; what it said. ``ok`` None accepts any exit code."""
        done = subprocess.run(self.words(verb, *more), capture_output=True, text=True, cwd=PROJECT)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert ok is None or (done.returncode == 0) is ok, said
        return said

    def states(self) -> dict[str, str]:
        done = subprocess.run(
            self.words("status", "--json"), capture_output=True, text=True, cwd=PROJECT, check=True
        )
        return {row["id"]: row["state"] for row in json.loads(done.stdout)["data"]}

    def cells(self, pattern: str = "*") -> list[CellFolder]:
        return [CellFolder(path) for path in sorted(Store(self.results).cells.glob(f"*/{pattern}"))]

    def cell(self, pattern: str) -> CellFolder:
        (found,) = self.cells(pattern)
        return found

    def jobs(self) -> list[dict[str, Any]]:
        lines = (self.results / "slurm" / "jobs.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line]

    def job_of(self, cell: CellFolder) -> str:
        key = cell.path.name.rsplit("-", 1)[1]
        return str([job["job"] for job in self.jobs() if key in job["cells"]][-1])

    def wait_done(self, *cells: CellFolder) -> None:
        for cell in cells:
            wait_for(f"a record of {cell.path.name}", lambda c=cell: c.state() == "done")

    def wait_idle(self, cluster: Cluster) -> None:
        """Until none of this folder's jobs is in the queue."""
        mine = {job["job"] for job in self.jobs()}
        wait_for(
            "an empty queue",
            lambda: not mine & set(cluster.ask("squeue", "-h", "-r", "-o", "%i").split()),
            every=0.3,
        )

    def freeze(self, cell: CellFolder, attempt: int | None = None) -> int:
        """Stop the newest (or the given) attempt once it has a checkpoint; its process id."""

        def stopped() -> int | None:
            number = attempt or cell.latest_attempt()
            if number is None or not list(cell.path.glob(f"checkpoints/{number:03d}/step-*")):
                return None
            lease = json.loads(cell.attempt_file(number).read_text())
            worker = psutil.Process(lease["pid"])
            assert abs(worker.create_time() - lease["born"]) < 2.0
            worker.suspend()
            return int(lease["pid"])

        pid: int = wait_for(f"a checkpoint of {cell.path.name}", stopped)
        assert cell.state() == "running"
        return pid


def check_record(cell: CellFolder) -> dict[str, Any]:
    """A cell is done once: a whole record that matches its saved weights, and nothing left over."""
    import hashlib

    # The record comes first, then what it makes superfluous is removed. Until the worker has gone
    # it also writes its lease anew, by way of a file that is there for a moment.
    leftovers = [cell.path / name for name in ("checkpoints", "partial")]
    wait_for("the end of the cell's work", lambda: not any(path.exists() for path in leftovers))
    wait_for("the last write of its lease", lambda: not list(cell.path.rglob("*.tmp")))
    record = json.loads((cell.path / "record.json").read_text())
    weights = (cell.path / "weights" / "model.safetensors").read_bytes()
    assert record["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    return record


@pytest.fixture
def bench(suite_file: Path, mirror: Path, tmp_path: Path, cluster: Cluster) -> Iterator[Bench]:
    """Short cells that save every 0.2 s of training, some of them long enough to be caught."""
    text = suite_file.read_text().replace("sparsity: [0.5]", "sparsity: [0.5, 0.6, 0.7]")
    text = text.replace("seeds: [1]", "seeds: [1, 2]")
    # Stopped workers use up their time limit, so it is far beyond what a slow machine needs.
    text += "slurm: {time: 2h, mem: 1GB, signal_before: 30s}\n"
    suite_file.write_text(text + "execution: {checkpoint_every: 0.2s}\n")
    yield Bench(suite_file, mirror, tmp_path / "results")
    # What a failed test left behind must not sit in the next one's way.
    for folder in tmp_path.glob("**/slurm/jobs.jsonl"):
        left = Bench(suite_file, mirror, folder.parents[1])
        subprocess.run(["scancel", *(job["job"] for job in left.jobs())], check=False)
        left.wait_idle(cluster)


@pytest.fixture
def long_cells(bench: Bench) -> Bench:
    """Cells without a teacher, one a seed, long enough to be stopped after a checkpoint."""
    text = bench.suite.read_text().replace("sparsity: [0.5, 0.6, 0.7]", "sparsity: [0.5]")
    bench.suite.write_text(text.replace("  guided: {}\n", ""))
    bench.settings = ["seeds=[1,2,3,4,5,6]", "train.duration=800it", "train.batch=2"]
    return bench


def uninterrupted(bench: Bench, tmp_path: Path, *only: str) -> dict[str, str]:
    """Weights of the same cells, run on this machine without any fault."""
    other = Bench(bench.suite, bench.mirror, tmp_path / "straight", bench.settings)
    words = [word for text in only for word in ("--only", text)]
    for cell in bench.cells():
        # The bits are promised for the threads that a cell's first attempt had.
        target = other.results / cell.path.relative_to(bench.results)
        target.mkdir(parents=True)
        shutil.copy(cell.path / "execution.json", target)
    other.smc("run", "--no-report", "--jobs", 2, *words)
    done = [cell for cell in other.cells() if cell.state() == "done"]
    return {cell.path.name: check_record(cell)["weights_sha256"] for cell in done}
