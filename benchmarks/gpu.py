"""Everything that a GPU has to show, in one call: from the surest part to the riskiest.

    python benchmarks/gpu.py --out OUT                         # on a GPU, in about eight minutes
    python benchmarks/gpu.py --out OUT --device cpu --tiny     # the same code as a dry run

Each part runs in processes of its own. What it measured is written at once (OUT/gpu.json,
OUT/gpu.md, OUT/gpu.log), a part that fails or takes too long costs itself alone, and none begins
in the last seconds. Steps of training are ours and transformers' Trainer's in turns, on the same
batches, with dynamic padding, fused AdamW and its own data loader on the Trainer's side; models but
MiniLM have random weights, which is as fast. Rows come from SMC_BENCH_DATA_ROOT, MiniLM from
SMC_BENCH_MINILM.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_report import as_markdown

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass
class Call:
    """What the parts share.

    Attributes:
        out: Folder of all results.
        device: ``cuda`` or ``cpu``.
        tiny: Whether the sizes are those of a dry run.
        until: When all has to be over, by :func:`time.monotonic`.
        found: What the parts have measured, by name.
    """

    out: Path
    device: str
    tiny: bool
    until: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def run(self, *words: str, limit: float, **variables: str) -> subprocess.CompletedProcess[str]:
        """A process of its own; its output is in the log.

        Raises:
            RuntimeError: It failed, or took longer than it may.
        """
        limit = min(limit, self.left)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), **variables}
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=limit, env=environment, cwd=ROOT
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took more than {limit:.0f} s: {' '.join(words[1:])}") from None
        with (self.out / "gpu.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}\n")
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise RuntimeError(f"exit code {done.returncode}: {' '.join(last)}")
        return done

    def step(self, *words: str, limit: float = 90.0) -> dict[str, Any]:
        """What ``training_worker.py`` prints."""
        worker = str(HERE / "training_worker.py")
        done = self.run(sys.executable, worker, *words, self.device, limit=limit)
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def tests(call: Call) -> dict[str, Any]:
    """The tests that need a GPU."""
    words = (sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider")
    dry = {"SMC_BENCH_GPU_DRY_RUN": "1"} if call.device == "cpu" else {}
    done = call.run(*words, "-o", "addopts=--import-mode=importlib", limit=150, **dry)
    return {"said": done.stdout.strip().splitlines()[-1]}


def gemm(call: Call) -> dict[str, Any]:
    """The rate of a large bf16 matrix product."""
    return call.step("gemm", "bf16", "tiny", "sst2", "1", "1")


def steps(call: Call) -> dict[str, Any]:
    """Ours and the Trainer's, by size and task; kept as they come."""
    sizes = ["tiny"] if call.tiny else ["minilm", "base", "large"]
    tasks = {"sst2": 32, "commonsense_qa": 16, "squad": 16}
    found: dict[str, Any] = {}
    count = "3" if call.tiny else "20"
    for size in sizes:
        for task, batch in tasks.items():
            rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "trainer": []}
            for _ in range(1 if call.tiny else 2):
                for who, times in rounds.items():
                    if call.left < 60:
                        return found
                    try:
                        words = (who, "bf16", size, task, str(4 if call.tiny else batch), count)
                        times.append(call.step(*words))
                    except RuntimeError as error:
                        found.setdefault("failed", []).append(f"{who} {size} {task}: {error}")
            if all(rounds.values()):
                found[f"{size} {task}"] = rounds
                call.found["steps"] = found
                write(call)
    return found


def fisher(call: Call) -> dict[str, Any]:
    """One pruning event of oBERT, B = 50, m = 1024: seconds and memory, by size."""
    sizes = ["tiny"] if call.tiny else ["base", "large"]
    count = "16" if call.tiny else "1024"
    worker = str(HERE / "gpu_fisher.py")
    found = {}
    for size in sizes:
        done = call.run(sys.executable, worker, size, count, call.device, limit=240)
        found[size] = json.loads(done.stdout.strip().splitlines()[-1])
        call.found["fisher"] = found
        write(call)
    return found


def together(call: Call) -> dict[str, Any]:
    """Steps a second of 1, 2, 4 and 8 cells at once on the card."""
    size, batch, count = ("tiny", "4", "3") if call.tiny else ("minilm", "32", "60")
    worker = str(HERE / "training_worker.py")
    words = [sys.executable, worker, "ours", "bf16", size, "sst2", batch, count, call.device]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    found: dict[str, Any] = {}
    for cells in (1, 2) if call.tiny else (1, 2, 4, 8):
        running = [
            subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            )
            for _ in range(cells)
        ]
        try:
            said = [
                process.communicate(timeout=max(1.0, min(120.0, call.left)))[0]
                for process in running
            ]
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{cells} cells at once took too long") from None
        finally:
            for process in running:
                process.kill()
        times = [json.loads(one.strip().splitlines()[-1])["s"] for one in said if one.strip()]
        found[str(cells)] = {
            "finished": len(times),
            "steps a second, all together": sum(1 / statistics.median(one) for one in times),
        }
    return found


def records(call: Call) -> dict[str, Any]:
    """Real cells of the study, by the command line, as small records in a tar."""
    results = call.out / "results"
    model = os.environ.get("SMC_BENCH_MINILM", "minilm-l6")
    suite = ROOT / "suites" / "why_smc_collapses.yaml"
    words = ["run", str(suite), "--profile", "study", "--results", str(results), "--no-report"]
    words += ["--set", f"model={model}", "--only", "task=sst2", "--only", "seed=42"]
    if call.tiny:
        words += ["--limit", "2", "--only", "arm=dense", "--set", "evaluation.rows=16"]
    try:
        call.run(sys.executable, "-m", "smc_bench", *words, limit=max(30.0, call.left - 20))
    finally:
        done = sorted(results.glob("cells/*/*/record.json"))
        with tarfile.open(call.out / "records.tar.gz", "w:gz") as tar:
            for path in done:
                for name in ("record.json", "predictions.json.gz", "train.jsonl", "layers.json.gz"):
                    if (path.parent / name).exists():
                        tar.add(path.parent / name, str((path.parent / name).relative_to(results)))
    return {"finished cells": len(done)}


PARTS: dict[str, Callable[[Call], dict[str, Any]]] = {
    part.__name__: part for part in (tests, gemm, steps, fisher, together, records)
}


def machine(call: Call) -> dict[str, Any]:
    """The card, by name, and what runs on it."""
    import torch

    about = {"torch": torch.__version__, "python": platform.python_version()}
    if call.device == "cpu":
        return {"card": "none: a dry run on the CPU", **about}
    properties = torch.cuda.get_device_properties(0)
    capability = f"{properties.major}.{properties.minor}"
    return {
        "card": properties.name, "memory GB": properties.total_memory / 1e9,
        "capability": capability, "cuda": torch.version.cuda, **about,
    }  # fmt: skip


def write(call: Call) -> None:
    """All that is known so far, as JSON and as a table."""
    (call.out / "gpu.json").write_text(json.dumps(call.found, indent=1) + "\n", encoding="utf-8")
    (call.out / "gpu.md").write_text(as_markdown(call.found, list(PARTS)), encoding="utf-8")


def main() -> int:
    """Run the parts; the exit code counts those that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes of a dry run")
    parser.add_argument("--seconds", type=float, default=480.0, help="for all parts together")
    parser.add_argument("--part", action="append", choices=list(PARTS))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    call = Call(asked.out.resolve(), asked.device, asked.tiny, time.monotonic() + asked.seconds)
    call.found["machine"] = machine(call)
    failed = 0
    for name in asked.part or PARTS:
        if call.left < 20:
            print(f"{name}: not run, no time left", flush=True)
            continue
        began = time.monotonic()
        try:
            call.found[name] = PARTS[name](call)
        except Exception as error:  # one part's failure must not cost the others
            call.found[name] = {
                **call.found.get(name, {}),
                "error": f"{type(error).__name__}: {error}",
            }
            failed += 1
        write(call)
        said = call.found[name].get("error", "ran")
        print(f"{name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
