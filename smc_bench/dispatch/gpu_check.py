"""``doctor --gpu``: each GPU tried in a process of its own, and what it does kept for `plan`.

A process each, because a CUDA error or a lack of memory leaves none that could go on: here it is a
line. What was finished before it counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.dispatch import gpus
from smc_bench.dispatch.doctor import Finding
from smc_bench.dispatch.local.capacity import usable_cores
from smc_bench.dispatch.worker.command import worker_environment
from smc_bench.store.cards import installed_torch, keep
from smc_bench.store.store import now
from smc_bench.suite.card import Card, Rate

STEPS = 1320
"""Optimizer steps of the cell that is spoken of."""

_LIMIT_SECONDS = 300.0
_FILE_BYTES = 64 * 2**20
# Weights and two moments of BERT-base, 4 bytes each.
_CHECKPOINT_BYTES = 12 * 110e6
_SLOW_DISK = 50 * 2**20
GIB = 2**30


def check_each(root: Path, *, seconds: float = 10.0, tiny: bool = False) -> list[Finding]:
    """Every GPU that may be used; bad where there is none.

    Args:
        root: Results folder, which keeps what was measured.
        seconds: Of each training.
        tiny: Train toy models for a moment: tries the code, and keeps nothing.
    """
    found = gpus.visible()
    if not found:
        return [Finding("gpu", "bad", "no GPU: none may be used here (nvidia-smi -L)")]
    findings = [disk_speed(root)]
    for gpu in found:
        lines, end = ask({"CUDA_VISIBLE_DEVICES": gpu.id}, seconds, tiny=tiny)
        findings += _told(f"gpu {gpu.id}", lines, end, needs_gpu=True)
        if not tiny:
            findings += _kept(root, f"gpu {gpu.id}", lines)
    return findings


def dry_run(root: Path, *, seconds: float = 10.0, tiny: bool = False) -> list[Finding]:
    """The same on the CPU: shows that the check works, says nothing of a GPU, keeps nothing."""
    lines, end = ask({"CUDA_VISIBLE_DEVICES": ""}, seconds, tiny=tiny)
    note = Finding("dry run", "note", "on the CPU: nothing here is of a GPU, and nothing is kept")
    return [note, disk_speed(root), *_told("cpu", lines, end, needs_gpu=False)]


def disk_speed(root: Path) -> Finding:
    """Write a file of 64 MiB into the results folder, to the disk, and read it back."""
    path = root / f".doctor-disk-{os.getpid()}"
    block = os.urandom(2**20)
    try:
        root.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with path.open("wb") as file:
            for _ in range(_FILE_BYTES // len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            written = _FILE_BYTES / (time.perf_counter() - started)
            with suppress(OSError, AttributeError):  # not everywhere: then it comes from memory
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started = time.perf_counter()
        with path.open("rb") as file:
            while file.read(len(block)):
                pass
        read = _FILE_BYTES / (time.perf_counter() - started)
    except OSError as error:
        return Finding("disk", "bad", f"64 MiB could not be written: {error.strerror or error}")
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    wait = _CHECKPOINT_BYTES / written
    text = (
        f"writes {written / 2**20:.0f} MiB/s (to the disk), reads {read / 2**20:.0f} MiB/s "
        f"(perhaps from memory); a checkpoint of BERT-base takes {wait:.0f} s"
    )
    return Finding("disk", "note" if written < _SLOW_DISK else "ok", text)


def ask(
    environment: dict[str, str], seconds: float, *, tiny: bool
) -> tuple[list[dict[str, Any]], str | None]:
    """What :mod:`smc_bench.engine.device_check` prints, and how it ended if not well.

    Args:
        environment: Beside that of a worker.
        seconds: Of each training.
        tiny: Whether models are toys.
    """
    words = [sys.executable, "-P", "-m", "smc_bench.engine.device_check"]
    words += ["--seconds", str(seconds), *(["--tiny"] if tiny else [])]
    started = {**worker_environment(usable_cores()), **environment}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=started, timeout=_LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        return list(_lines(text)), f"no answer within {_LIMIT_SECONDS:.0f} s"
    end = None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        end = f"ended with {how}: {last}"
    return list(_lines(done.stdout)), end


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with suppress(ValueError):
            content = json.loads(line)
            if isinstance(content, dict) and "stage" in content:
                yield content


def _told(
    check: str, lines: Iterable[dict[str, Any]], end: str | None, *, needs_gpu: bool
) -> Iterator[Finding]:
    for line in lines:
        if "error" in line:
            # A model that does not fit is no fault of the card.
            memory = str(line["error"]).startswith("out of memory")
            about = f"{line['stage']} {line.get('model', '')}".strip()
            yield Finding(check, "note" if memory else "bad", f"{about}: {line['error']}")
        elif line["stage"] == "device":
            yield _device(check, line, needs_gpu=needs_gpu)
        elif line["stage"] == "determinism":
            yield _determinism(check, line)
        else:
            yield Finding(check, "ok", _training(line))
    if end is not None:
        yield Finding(check, "bad", end)


def _device(check: str, line: dict[str, Any], *, needs_gpu: bool) -> Finding:
    if line["device"] != "cuda":
        text = f"torch {line['torch']} sees none: its build, or the driver, is not for this GPU"
        if needs_gpu:
            return Finding(check, "bad", f"no GPU: {text}")
        return Finding(check, "note", f"torch {line['torch']}, {line['precision']}")
    mig = ", a MIG slice" if " MIG " in line["name"] else ""
    text = (
        f"{line['name']}{mig}: driver {gpus.driver() or 'unknown'}, CUDA {line['cuda']} of torch "
        f"{line['torch']}, compute capability {line['capability']}, {line['free'] / GIB:.1f} of "
        f"{line['memory'] / GIB:.1f} GiB free, {'has' if line['bf16'] else 'has no'} bf16"
    )
    return Finding(check, "ok", text)


def _determinism(check: str, line: dict[str, Any]) -> Finding:
    if not line["equal"]:
        text = "the same steps twice gave other bits: a resumed cell will not equal one that ran on"
        return Finding(check, "bad", " ".join([text, *line["unlike"][:1]]))
    if line["unlike"]:
        text = f"equal bits twice, but torch does not promise it: {line['unlike'][0]}"
        return Finding(check, "note", text)
    return Finding(check, "ok", "the same steps twice gave equal bits, dropout included")


def _training(line: dict[str, Any]) -> str:
    rate = float(line["steps_per_second"])
    return (
        f"{line['model']}'s shape in {line['precision']}, batch {line['batch']}, "
        f"{line['tokens'] / line['batch']:.0f} tokens a sequence: {rate:.3g} steps/s, "
        f"{line['memory'] / GIB:.2f} GiB; at that rate {3600 * rate / STEPS:.3g} cells an hour of "
        f"{STEPS} steps, training alone"
    )


def _kept(root: Path, check: str, lines: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    """Keep the rates of a card for `plan`; nothing where there are none."""
    device: dict[str, Any] = {}
    rates = []
    for line in lines:
        if line["stage"] == "device":
            device = line
        elif line["stage"] == "training" and "error" not in line:
            rates.append({key: value for key, value in line.items() if key != "stage"})
    if device.get("device") != "cuda" or not rates:
        return
    try:
        card = Card(
            name=device["name"],
            driver=gpus.driver(),
            torch=installed_torch(),
            measured=now(),
            rates=tuple(Rate.model_validate(rate) for rate in rates),
        )
        path = keep(root, card)
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        yield Finding(check, "note", f"not kept, so that plan does not know: {reason}")
        return
    yield Finding(check, "ok", f"kept in {path}: plan goes by it on cards of this name")
