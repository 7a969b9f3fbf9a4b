"""Randomness as a function of (seed, purpose, step): nothing to save, nothing to restore.

A cell that resumes at step k draws exactly the dropout and the batches that an uninterrupted one
draws, because neither depends on what was drawn before. Torch is loaded when it is needed, as
plug-ins that are read when planning take :func:`derived_seed` from here.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(seed: int, purpose: str, *numbers: int) -> int:
    """A 63-bit seed for one purpose, independent of all others."""
    text = ":".join([str(seed), purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A numpy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, purpose, *numbers)))


def seed_step(seed: int, step: int, micro: int) -> None:
    """Seed torch's dropout noise for one micro-batch of one optimizer step."""
    import torch

    torch.manual_seed(derived_seed(seed, "dropout", step, micro))


def use_deterministic_kernels() -> None:
    """Deterministic kernels in this process, with a warning where there is none."""
    import torch

    # The longer-named call would also import torch's compiler, which takes seconds.
    torch.set_deterministic_debug_mode("warn")
    # By default torch then fills all new memory with NaN, a tenth of a step; nothing here reads
    # what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
