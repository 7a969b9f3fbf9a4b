"""Kill local runs of tiny cells at random points and see that nothing is lost or done twice.

    python benchmarks/faults.py --kills 200

Each round runs one small suite (a teacher, students that need it, students that do not) to its end
while workers, and now and then the runner itself, are killed with SIGKILL: at any time, a little
after a checkpoint, or a little after the weights were saved and before the record was; the same
command is started again until every cell is done. A round counts only if it was checked: every
cell has one whole record, written once, whose hash is that of the saved weights and equals an
undisturbed run's. The summary is JSON on standard output; exit 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PROJECT = Path(__file__).resolve().parents[1]
_FINISHING = "that has saved its weights"
_TRAINING = "with a checkpoint"
_LOOK_FOR_PHASE = 120.0  # seconds, against waiting for ever
SUITE = """
name: faults
title: Faults
tasks: [{{name: sst2, max_length: 16}}]
model: {model}
sparsity: [0.5]
seeds: [1, 2]
baseline: guidelines
default_profile: laptop
execution: {{checkpoint_every: 0.2s}}
arms: {{plain: {{recipe: smc}}, guided: {{}}}}
profiles:
  laptop:
    recipe: {{train: {{batch: 4}}}}
    recipes:
      dense: {{train: {{duration: {steps}it}}, lr_schedule: {{peak: 1e-3}}}}
      smc:
        train: {{duration: {steps}it}}
        sparsity_schedule: {{every: 25%}}
        lr_schedule: {{warmup: 0it}}
      guidelines: {{sparsity_schedule: {{start: 10ep, cycle: 10ep}}}}
"""


@dataclass
class Tally:
    """What was done to the runs, and what was found wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    cells: int = 0
    attempts: int = 0
    resumed: int = 0
    wrong: list[str] = field(default_factory=list)


class Round:
    """One results folder, disturbed until all its cells are done."""

    def __init__(self, folder: Path, suite: Path, mirror: Path, jobs: int) -> None:
        """Nothing runs yet."""
        self.results = folder
        self.command = [sys.executable, "-m", "smc_bench", "run", str(suite), "--no-report"]
        self.command += ["--results", str(folder), "--data-root", str(mirror), "--jobs", str(jobs)]
        self.seen: dict[str, bytes] = {}

    def like(self, other: Round) -> None:
        """Give every cell the threads that it had in another folder: bits are equal for those."""
        for path in other.results.glob("cells/*/*/execution.json"):
            target = self.results / path.relative_to(other.results)
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)

    def start(self) -> subprocess.Popen[bytes]:
        """The runner; what it says is kept for when something goes wrong."""
        self.results.mkdir(parents=True, exist_ok=True)
        with (self.results / "runner.log").open("ab") as log:
            return subprocess.Popen(self.command, cwd=PROJECT, stdout=log, stderr=log)

    def workers(self) -> list[tuple[int, str]]:
        """Process ids of attempts that have not said that they ended, and how far they are."""
        found = []
        for path in self.results.glob("cells/*/*/attempts/[0-9]*.json"):
            lease = json.loads(path.read_text())
            if "ended" not in lease and _runs(lease):
                found.append((int(lease["pid"]), f"worker {_phase(path.parents[1], path.stem)}"))
        return found

    def in_phase(
        self, phase: str, runner: subprocess.Popen[bytes], chance: random.Random
    ) -> list[tuple[int, str]]:
        """Wait for a worker in a phase, then a little; its process id, if it is still there.

        On a slow machine kills at random times alone would nearly all hit workers that start up.
        """
        until = time.monotonic() + _LOOK_FOR_PHASE
        while runner.poll() is None and time.monotonic() < until:
            found = [worker for worker in self.workers() if worker[1].endswith(phase)]
            if found:
                time.sleep(chance.uniform(0.0, 0.05 if phase == _FINISHING else 0.5))
                return [worker for worker in self.workers() if worker[0] == found[0][0]]
            time.sleep(0.01)
        return []

    def disturb(
        self, chance: random.Random, left: int, until: float, tally: Tally, longest: float
    ) -> int:
        """Run to the end of all cells, undisturbed once ``until`` is past; the number of kills."""
        kills = 0
        while True:
            runner = self.start()
            while runner.poll() is None:
                enough = kills >= left or time.monotonic() > until
                if enough or self._wait(runner, chance.uniform(0.0, longest)):
                    runner.wait()
                    break
                kills += self._kill(runner, chance, tally)
            self._watch(tally)
            if runner.returncode == 0:
                return kills
            if runner.returncode not in {1, -signal.SIGKILL}:
                tally.wrong.append(f"the runner ended with {runner.returncode}")
                return kills

    def _wait(self, runner: subprocess.Popen[bytes], seconds: float) -> bool:
        try:
            runner.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self, runner: subprocess.Popen[bytes], chance: random.Random, tally: Tally) -> int:
        draw = chance.random()
        if draw < 0.12:
            runner.kill()
            runner.wait()
            tally.kills["runner"] += 1
            return 1
        if draw < 0.4:
            workers = self.workers()
        else:
            workers = self.in_phase(_TRAINING if draw < 0.7 else _FINISHING, runner, chance)
        if not workers:
            return 0
        pid, what = chance.choice(workers)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return 0
        tally.kills[what] += 1
        return 1

    def _watch(self, tally: Tally) -> None:
        """A record never changes once it is there."""
        for path in self.results.glob("cells/*/*/record.json"):
            content = path.read_bytes()
            if self.seen.setdefault(path.parent.name, content) != content:
                tally.wrong.append(f"{path}: the cell was finished twice")

    def hashes(self) -> dict[str, str]:
        """Hash of the weights of each cell, as its record says."""
        found = {}
        for path in self.results.glob("cells/*/*/record.json"):
            found[path.parent.name] = json.loads(path.read_text())["weights_sha256"]
        return found

    def check(self, expected: dict[str, str], tally: Tally) -> None:
        """Compare the finished folder with an undisturbed one."""
        if self.hashes() != expected:
            tally.wrong.append(f"{self.results}: cells or weights differ from an undisturbed run")
        for path in self.results.glob("cells/*/*/record.json"):
            folder, record = path.parent, json.loads(path.read_text())
            if json.loads((folder / "cell.json").read_text()) != record["cell"]:
                tally.wrong.append(f"{folder}: the record is of another cell")
            saved = (folder / "weights" / "model.safetensors").read_bytes()
            if hashlib.sha256(saved).hexdigest() != record["weights_sha256"]:
                tally.wrong.append(f"{folder}: the weights are not the record's")
            leases = [json.loads(p.read_text()) for p in folder.glob("attempts/[0-9]*.json")]
            if sum(lease.get("how") == "done" for lease in leases) > 1:
                tally.wrong.append(f"{folder}: two attempts say that they finished")
            tally.cells += 1
            tally.attempts += len(leases)
            tally.resumed += record["attempt"] > 1


def _phase(cell: Path, attempt: str) -> str:
    if (cell / "partial" / attempt / "weights").exists():
        return _FINISHING
    saved = list(cell.glob(f"checkpoints/{attempt}/step-*"))
    return _TRAINING if saved else "before its first checkpoint"


def _runs(lease: dict[str, Any]) -> bool:
    """Whether it is still that process: ids are used again, and a stranger must not be killed."""
    try:
        process = psutil.Process(lease["pid"])
        same = abs(process.create_time() - lease["born"]) < 2.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _tiny_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "plot", "was", "good", "bad", "."]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]"}
    special = {f"{name}_token": token for name, token in names.items()}
    PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(
        vocab_size=len(words), intermediate_size=32, max_position_embeddings=64, **sizes
    )
    BertModel(config).save_pretrained(folder)


def _mirror(folder: Path) -> None:
    (folder / "glue" / "sst2").mkdir(parents=True)
    for split, count in (("train", 48), ("validation", 24)):
        rows = [
            {"sentence": f"the {'film' if i % 4 < 2 else 'plot'} was {('bad', 'good')[i % 2]} .",
             "label": i % 2, "idx": i}
            for i in range(count)
        ]  # fmt: skip
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "glue" / "sst2" / f"{split}.jsonl").write_text(text)


def main() -> int:
    """Run the campaign and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps of a cell")
    parser.add_argument("--minutes", type=float, default=600.0, help="no kill after so long")
    parser.add_argument("--longest", type=float, default=2.0, help="longest wait for a kill, s")
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    chance, tally = random.Random(given.seed), Tally()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smc-bench-faults-") as name:
        root = Path(name)
        _tiny_model(root / "model")
        _mirror(root / "mirror")
        suite = root / "faults.yaml"
        suite.write_text(SUITE.format(model=root / "model", steps=given.steps))
        calm = Round(root / "calm", suite, root / "mirror", given.jobs)
        if calm.start().wait() != 0:
            print((root / "calm" / "runner.log").read_text(), file=sys.stderr)
            return 1
        until = time.monotonic() + given.minutes * 60.0
        while tally.kills.total() < given.kills and time.monotonic() < until and not tally.wrong:
            folder = root / f"round-{tally.rounds}"
            here = Round(folder, suite, root / "mirror", given.jobs)
            here.like(calm)
            left = given.kills - tally.kills.total()
            here.disturb(chance, left, until, tally, given.longest)
            here.check(calm.hashes(), tally)
            tally.rounds += 1
            print(f"{tally.kills.total()} kills, {tally.rounds} rounds", file=sys.stderr)
    summary = {
        "kills": dict(tally.kills),
        "rounds": tally.rounds,
        "cells_done": tally.cells,
        "attempts": tally.attempts,
        "cells_resumed": tally.resumed,
        "wrong": tally.wrong,
        "seconds": round(time.monotonic() - started),
        "seed": given.seed,
    }
    print(json.dumps(summary, indent=1))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
