"""A training step on real text against transformers' Trainer, on the same batches.

    python benchmarks/training.py --data-root MIRROR [--size minilm] [--task sst2] [--rounds 3]

Each contestant runs in a process of its own (a Trainer that is built beside another one does not
show its bf16 speed), in turns: one after the other in each round. The alternative is the strong
one: dynamic padding to the longest of a batch, fused AdamW, bf16 autocast; and the same in float32.
The batch of most tokens comes first, among those that do not count: memory then is there. Threads
are those that a cell gets by default. Ratios are of CPU seconds a step, medians over rounds [least
to most]; wall seconds stand beside.
Results of several calls gather in ``results/training.json`` by size and task.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from fisher_support import processor

from smc_bench.dispatch.local.capacity import default_jobs, usable_cores
from smc_bench.dispatch.worker.command import worker_environment

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BATCH = {"sst2": 32, "commonsense_qa": 16, "squad": 16}
SMALLER = {("base", "squad"): 8}  # a step of the Trainer's in float32 takes 20 s as it is
CONTESTANTS = (("trainer", "bf16"), ("ours", "bf16"), ("trainer", "fp32"), ("ours", "fp32"))


def called(*words: str, threads: int) -> dict[str, Any]:
    """One process's JSON: ours as a worker is started, the Trainer with as many threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if words[0] == "ours":
        environment = worker_environment(threads)
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, str(HERE / "training_worker.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measured(size: str, task: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Rounds of all contestants on one task."""
    batch = asked.batch or SMALLER.get((size, task), BATCH[task])
    rounds: dict[str, list[dict[str, Any]]] = {f"{w} {p}": [] for w, p in CONTESTANTS}
    peaks = []
    for _ in range(asked.rounds):
        for who, precision in CONTESTANTS:
            words = (who, precision, size, task, str(batch), str(asked.steps))
            rounds[f"{who} {precision}"].append(called(*words, threads=asked.threads))
            print(size, task, who, precision, rounds[f"{who} {precision}"][-1], flush=True)
        gemm = ("gemm", "bf16", size, task, "1", "1")
        peaks.append(called(*gemm, threads=asked.threads)["bf16 FLOP/s"])
    return {
        "size": size,
        "task": task,
        "batch": batch,
        "steps": asked.steps,
        "threads": asked.threads,
        "processor": processor(),
        "GEMM bf16 FLOP/s": peaks,
        "rounds": rounds,
    }


def ratio(one: dict[str, Any], slow: str, fast: str, key: str = "cpu s") -> str:
    """Of CPU seconds a step, round by round."""
    found = [a[key] / b[key] for a, b in zip(one["rounds"][slow], one["rounds"][fast], strict=True)]
    return f"{statistics.median(found):.2f} [{min(found):.2f}-{max(found):.2f}]"


def as_markdown(content: dict[str, Any]) -> str:
    """One row a size and task."""
    lines = [
        "# A training step against transformers' Trainer",
        "",
        "Written by `benchmarks/training.py`: same model, same batches of real text, dynamic",
        "padding and fused AdamW on the Trainer's side; CPU seconds a step, medians over rounds.",
        "",
    ]
    columns = [
        "model", "task", "batch", "real tokens", "ours bf16, s", "v Trainer bf16",
        "v Trainer fp32", "ours fp32 v Trainer fp32", "useful of GEMM peak", "peak GB (Trainer)",
    ]  # fmt: skip
    lines += [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    for one in content.values():
        ours = one["rounds"]["ours bf16"]
        best = min(min(step["s"]) for step in ours)
        share = ours[0]["FLOP a step"] / best / max(one["GEMM bf16 FLOP/s"])
        peaks = [one["rounds"][who][0]["peak GB"] for who in ("ours bf16", "trainer bf16")]
        cells = [
            one["size"],
            one["task"],
            str(one["batch"]),
            f"{ours[0]['tokens a step']:.0f}",
            f"{statistics.median(step['cpu s'] for step in ours):.3f}",
            ratio(one, "trainer bf16", "ours bf16"),
            ratio(one, "trainer fp32", "ours bf16"),
            ratio(one, "trainer fp32", "ours fp32"),
            f"{share:.0%}",
            f"{peaks[0]:.2f} ({peaks[1]:.2f})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    machines = {f"{one['processor']}, {one['threads']} threads" for one in content.values()}
    lines += ["", f"Processor: {'; '.join(sorted(machines))}. Useful: 6 FLOPs a weight of the"]
    lines += ["encoder's Linear layers and real token, at the fastest step's wall time."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and add to the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    cores = usable_cores()
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--size", action="append", choices=["minilm", "base"])
    parser.add_argument("--task", action="append", choices=sorted(BATCH))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=cores // default_jobs(0, cores))
    asked = parser.parse_args()
    if asked.data_root:
        os.environ["SMC_BENCH_DATA_ROOT"] = str(asked.data_root)
    path = RESULTS / "training.json"
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for size in asked.size or ["minilm", "base"]:
        for task in asked.task or list(BATCH):
            content[f"{size} {task}"] = measured(size, task, asked)
            RESULTS.mkdir(exist_ok=True)
            path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
            path.with_suffix(".md").write_text(as_markdown(content), "utf-8")
    print(as_markdown(content))


if __name__ == "__main__":
    main()
