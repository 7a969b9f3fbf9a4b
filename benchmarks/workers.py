"""Two cells of one thread each against one cell of two threads after the other.

    python benchmarks/workers.py --data-root MIRROR [--task sst2] [--rounds 3]

The pool may fill two cores either way (``dispatch/local/capacity.py`` chooses). Both ways train
the same steps twice, on real text, in processes of their own, in turns; what counts is the wall
time until both are done, start-up left out. A ratio above 1 means that two at once finish sooner.
Only on an otherwise idle machine does it mean anything.

Also how long a thread should look for work before it sleeps (libgomp's spin count, in
``dispatch/worker/command.py``): seconds a step of one cell that has both cores, and of one of two
that both believe so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fisher_support import processor
from training import BATCH, RESULTS, called

# Passive, workers', libgomp's default.
SPINS = ("0", "4000", "300000")


def seconds(done: dict[str, Any]) -> float:
    """Wall seconds of the counted steps."""
    return float(sum(done["s"]))


def measured(task: str, precision: str, steps: int) -> float:
    """Seconds of two cells after each other over those of two at once."""
    words = ("ours", precision, "minilm", task, str(BATCH[task]), str(steps))
    after = sum(seconds(called(*words, threads=2)) for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: seconds(called(*words, threads=1)), range(2)))
    return after / max(both)


def waiting(task: str, steps: int, count: str) -> tuple[float, float]:
    """Seconds a step with a spin count: alone on two cores, and with two threads to a core."""
    os.environ["GOMP_SPINCOUNT"] = count
    try:
        words = ("ours", "bf16", "minilm", task, str(BATCH[task]), str(steps))
        alone = seconds(called(*words, threads=2))
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: seconds(called(*words, threads=2)), range(2)))
    finally:
        del os.environ["GOMP_SPINCOUNT"]
    return alone / steps, max(both) / steps


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--task", default="sst2", choices=sorted(BATCH))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    if asked.data_root:
        os.environ["SMC_BENCH_DATA_ROOT"] = str(asked.data_root)
    load = os.getloadavg()[0]
    ratios = {
        precision: [measured(asked.task, precision, asked.steps) for _ in range(asked.rounds)]
        for precision in ("fp32", "bf16")
    }
    spins = [{n: waiting(asked.task, 8, n) for n in SPINS} for _ in range(asked.rounds)]
    content = {
        "processor": processor(),
        "load before": load,
        "task": asked.task,
        "steps": asked.steps,
        "two at once against one after the other": ratios,
        "median": {name: statistics.median(found) for name, found in ratios.items()},
        "s a step by spin count, alone and two to a core": {
            name: [
                statistics.median(one[name][0] for one in spins),
                statistics.median(one[name][1] for one in spins),
            ]
            for name in SPINS
        },
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1)
    (RESULTS / "workers.json").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
