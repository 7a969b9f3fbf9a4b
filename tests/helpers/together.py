"""Tiny trainings, each by one process or by several: ``python -m tests.helpers.together FOLDER``.

Started once for each process with torchrun's variables; leaves ``NAME-RANK.safetensors``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from smc_bench.engine.loss.distributed import ALONE, Processes, join
from smc_bench.engine.loss.predict import predict
from smc_bench.errors import AuditError, Interrupted, RankLostError
from tests.helpers.engine import (
    MemoryContext,
    recipe,
    tiny_classifier,
    tiny_features,
    tiny_feed,
    trainer,
)

# 24 rows in batches of 7: parts of 4 and 3, and a last batch of 3, which is one part.
# Adam's usual epsilon would divide differences of the last bits by moments near zero: how far two
# sums come apart would then say more about the processor's arithmetic than about the summing.
TRAIN: dict[str, Any] = {
    "duration": "12it", "batch": 7, "clip": 0.5, "dropout": 0.0, "epsilon": 1e-3,
}  # fmt: skip
RAMP = {"kind": "ramp", "start": "2it", "end": "8it", "every": "3it"}
GRADUAL: dict[str, Any] = {"train": TRAIN, "sparsity_schedule": RAMP}
RUNS: dict[str, dict[str, Any]] = {
    "gradual": GRADUAL,
    "distilled": GRADUAL | {"distillation": {"hardness": 0.7, "temperature": 2.0}},
    "snip": GRADUAL | {"scorer": "snip", "scorer_options": {"batches": 3, "batch": 4}},
    "obert": GRADUAL
    | {
        "scorer": "obert",
        "scorer_options": {"gradients": 7, "block": 4, "gradient_batch": 4, "dampening": 1e-3},
    },
    "sparsegpt": GRADUAL | {"scorer": "sparsegpt", "scorer_options": {"batches": 2, "batch": 8}},
    "movement": GRADUAL
    | {"scorer": "movement", "scorer_options": {"score_lr": 0.05, "reselect": 1}},
    "rigl": GRADUAL
    | {
        "sparsity_schedule": {"kind": "one_shot", "at": "0it"},
        "regrowth": {"every": "2it", "until": "100%", "rate": 0.3},
    },
    "dropout": GRADUAL | {"train": TRAIN | {"dropout": 0.2}},
}
PART = 4


class PeerContext(MemoryContext):
    """A process that keeps nothing, as a peer's context must; it alone may be told to stop."""

    def shares_prefix(self) -> bool:
        return False

    def newest_checkpoint(self) -> Path | None:
        raise AssertionError("a peer looked for a checkpoint")

    def checkpoint_folder(self, step: int) -> Path:
        raise AssertionError("a peer wrote a checkpoint")


def begun(name: str, context: MemoryContext, processes: Processes = ALONE) -> Any:
    """A trainer; several processes cut the batch into parts of ``PART`` rows."""
    settings = recipe(**RUNS[name])
    if processes.count > 1 or settings.train.dropout:
        context.execution = context.execution.model_copy(update={"micro_batch": PART})
    more = {}
    if settings.distillation is not None:
        teacher = tiny_feed(tiny_classifier(seed=1))
        more["teacher_outputs"] = predict(teacher, tiny_features(), 8)
    model = tiny_classifier(dropout=settings.train.dropout or 0.0)
    return trainer(model, settings, 0.6, context, processes, **more)


def state(run: Any) -> dict[str, torch.Tensor]:
    """Weights and masks."""
    tensors = {**run.raw.state_dict(), **run.pruner.state()}
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def start(folder: Path, *words: str, count: int = 2) -> list[subprocess.Popen[bytes]]:
    """The processes of a test, which find each other on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "tests.helpers.together", str(folder), *words]
    return [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=(folder / f"{rank}.log").open("w"),
        )
        for rank in range(count)
    ]


def _train(name: str, folder: Path, processes: Processes, stop: int | None = None) -> Any:
    kind = MemoryContext if processes.main else PeerContext
    if stop is not None:
        # Only the last process is told to stop.
        told = stop if processes.index == processes.count - 1 else None
        run = begun(name, kind(folder, told), processes)
        try:
            run.run()
        except Interrupted:
            assert run.step == stop
        else:
            raise AssertionError("a process was not stopped")
    run = begun(name, kind(folder), processes)
    assert run.step == (stop or 0)
    run.run()
    return run


def all_runs(folder: Path, processes: Processes) -> None:
    """Every run, and two of them again with a stop on the way."""
    for name in RUNS:
        run = _train(name, folder / name, processes)
        save_file(state(run), folder / f"{name}-{processes.index}.safetensors")
    for name in ("movement", "dropout"):
        run = _train(name, folder / f"{name}-resumed", processes, stop=5)
        save_file(state(run), folder / f"{name}-resumed-{processes.index}.safetensors")
    processes.leave()


def stall(folder: Path, processes: Processes) -> None:
    """All see that their weights differ; then the last one stands still while the others train."""
    different = tiny_classifier(seed=processes.index)
    told = {}
    try:
        processes.check_same(dict(different.named_parameters()), "at the start")
    except AuditError as error:
        told["drift"] = [type(error).__name__, str(error)]
    if processes.index == processes.count - 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        _train("gradual", folder / "gradual", processes)
    except RankLostError as error:
        told["lost"] = [type(error).__name__, str(error)]
    (folder / f"told-{processes.index}.json").write_text(json.dumps(told))
    os._exit(0)  # there is nobody to part from


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    what, timeout = {"all": (all_runs, 60.0), "stall": (stall, 4.0)}[sys.argv[2]]
    what(Path(sys.argv[1]), join(timeout))
