"""accelerate without its environment: a cell's recipe says all that it is told.

``ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4`` would divide each gradient by four, and a launcher's
``RANK`` make a lone process wait for others. Workers get neither; this is for who calls the engine
in a process of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, TorchDynamoPlugin

from smc_bench.engine.recipe import Recipe
from smc_bench.environment import LAUNCHER, LAUNCHER_PREFIXES
from smc_bench.errors import ModelError

_SETTINGS = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "FP8_", "FORK_LAUNCHED")


def accelerator(precision: str) -> Accelerator:
    """An accelerator with this precision and no other setting.

    Args:
        precision: ``no``, ``bf16`` or ``fp16``.
    """
    # accelerate keeps one state a process; a second cell may want another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    with unconfigured():
        return Accelerator(
            mixed_precision=precision,
            # Not the number: a variable would win over that.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            dynamo_plugin=TorchDynamoPlugin(backend="no"),
        )


@contextmanager
def unconfigured() -> Iterator[None]:
    """Hide from accelerate what the environment tells it, and from a lone process its launcher."""
    alone = not (dist.is_available() and dist.is_initialized())
    hidden = {name: value for name, value in os.environ.items() if _tells(name, alone)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _tells(name: str, alone: bool) -> bool:
    if name.startswith(_SETTINGS):
        return True
    return alone and (name in LAUNCHER or name.startswith(LAUNCHER_PREFIXES))


def accelerator_for(recipe: Recipe) -> Accelerator:
    """The accelerator of a recipe's precision.

    Raises:
        ModelError: The precision is not known yet, or this machine has none such.
    """
    if recipe.train.precision == "auto":
        raise ModelError("train.precision: auto was not replaced; write bf16 or fp32")
    precision = {"fp32": "no"}.get(recipe.train.precision, recipe.train.precision)
    if precision == "fp16" and not torch.cuda.is_available():
        raise ModelError("train.precision: fp16 needs a GPU; write bf16 or fp32")
    return accelerator(precision)
