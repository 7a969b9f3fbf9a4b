"""The GPUs that this process may use, as nvidia-smi and the environment name them. No torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GPU = re.compile(r"GPU (\d+): (.+?) \(UUID: (GPU-[\w-]+)\)")
_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[\w/-]+)\)")
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG slice of one.

    Attributes:
        id: What ``CUDA_VISIBLE_DEVICES`` takes.
        name: As torch calls it, for example ``NVIDIA A100-SXM4-40GB MIG 1g.5gb``; empty where it
            is not known.
    """

    id: str
    name: str = ""


@dataclass(frozen=True)
class _Installed:
    """A line of ``nvidia-smi -L``; of a GPU that is sliced, the slices."""

    index: str
    uuid: str
    name: str
    slices: tuple[Gpu, ...] = ()


def visible() -> tuple[Gpu, ...]:
    """The GPUs that may be used: those of ``CUDA_VISIBLE_DEVICES``, or all of this machine."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    installed = list(_installed())
    if chosen is None:
        return tuple(_all(installed))
    return tuple(Gpu(name, _name(name, installed)) for name in chosen_ids(chosen))


def chosen_ids(value: str) -> tuple[str, ...]:
    """Ids in a value of ``CUDA_VISIBLE_DEVICES``, read as CUDA reads it.

    The first one that is none (``-1``, or SLURM's ``NoDevFiles``) hides itself and all behind it.
    """
    ids: list[str] = []
    for word in value.split(","):
        word = word.strip()
        if not re.fullmatch(r"\d+|GPU-[\w-]+|MIG-[\w/-]+", word):
            break
        ids.append(word)
    return tuple(ids)


def card() -> str | None:
    """Name of the kind of GPU here; None without one, and where kinds differ or are not known.

    A rate of one kind says nothing of another.
    """
    names = {gpu.name for gpu in visible()}
    return names.pop() or None if len(names) == 1 else None


def driver() -> str | None:
    """Version of NVIDIA's driver, or None where it is not known."""
    text = _asked("--query-gpu=driver_version", "--format=csv,noheader")
    return text.strip().splitlines()[0].strip() if text.strip() else None


def parsed(text: str) -> Iterator[_Installed]:
    """What ``nvidia-smi -L`` lists; lines that are no GPU (it reports errors there) are none."""
    gpu: _Installed | None = None
    for line in text.splitlines():
        if found := _GPU.match(line):
            if gpu is not None:
                yield gpu
            gpu = _Installed(found[1], found[3], found[2])
        elif gpu is not None and (found := _SLICE.match(line)):
            one = Gpu(found[2], f"{gpu.name} MIG {found[1]}")
            gpu = _Installed(gpu.index, gpu.uuid, gpu.name, (*gpu.slices, one))
    if gpu is not None:
        yield gpu


def _installed() -> Iterator[_Installed]:
    return parsed(_asked("-L"))


def _asked(*words: str) -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(
            ["nvidia-smi", *words], capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout


def _all(installed: Sequence[_Installed]) -> Iterator[Gpu]:
    """Every GPU by its index, and where one is sliced its slices: it can't be used whole then.

    Beside slices the others go by UUID: it is not sure how CUDA counts where some are sliced.
    """
    sliced = any(gpu.slices for gpu in installed)
    for gpu in installed:
        yield from gpu.slices or (Gpu(gpu.uuid if sliced else gpu.index, gpu.name),)


def _name(chosen: str, installed: Sequence[_Installed]) -> str:
    """Name of a chosen GPU, or nothing where it is not sure which one that is."""
    for gpu in installed:
        if chosen.startswith("GPU-") and gpu.uuid.startswith(chosen):
            return gpu.name
        for one in gpu.slices:
            if chosen == one.id:
                return one.name
    if not chosen.isdigit():
        return ""
    # CUDA numbers the fastest first, nvidia-smi by bus: an index is sure where all are alike.
    names = {one.name for one in _all(installed)}
    return names.pop() if len(names) == 1 else ""
