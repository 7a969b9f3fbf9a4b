"""What a checkpoint holds: weights, masks and optimizer state as safetensors; no pickle.

There is no random state in it: all randomness is a function of the step (see ``seeding``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from smc_bench.engine.pruner import Pruner
from smc_bench.errors import DamagedError

_TENSORS = "state.safetensors"
_NUMBERS = "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    pruner: Pruner,
    numbers: dict[str, Any],
) -> None:
    """Write the whole state of training into an empty folder.

    Args:
        folder: Where to write; the caller declares it complete afterwards.
        model: Unwrapped model.
        optimizer: AdamW over the model's parameters.
        pruner: Holder of the masks.
        numbers: Everything else, as JSON (step, events so far, loss scale).
    """
    tensors = {f"model/{name}": t.contiguous() for name, t in model.state_dict().items()}
    tensors |= {f"pruner/{name}": tensor for name, tensor in pruner.state().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter, state in optimizer.state.items():
        for moment in _MOMENTS:
            tensors[f"{moment}/{names[id(parameter)]}"] = torch.as_tensor(state[moment])
    save_file({name: tensor.cpu() for name, tensor in tensors.items()}, folder / _TENSORS)
    (folder / _NUMBERS).write_text(json.dumps(numbers), encoding="utf-8")


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner
) -> dict[str, Any]:
    """Restore a state written by :func:`save_checkpoint`, in place; returns its numbers.

    Raises:
        DamagedError: It can't be read, or is of another model.
    """
    try:
        return _load(folder, model, optimizer, pruner)
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        if "out of memory" in str(error):
            raise
        raise DamagedError(
            f"{folder}: a checkpoint that can't be read ({error}); remove it to begin again"
        ) from error


def _load(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner
) -> dict[str, Any]:
    tensors = load_file(folder / _TENSORS)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    model.load_state_dict(groups["model"])
    numbers: dict[str, Any] = json.loads((folder / _NUMBERS).read_text(encoding="utf-8"))
    pruner.load(groups.get("pruner", {}), float(numbers["reached"]))
    for name, parameter in model.named_parameters():
        if name in groups.get("exp_avg", {}):
            state = {moment: groups[moment][name] for moment in _MOMENTS}
            state["exp_avg"] = state["exp_avg"].to(parameter.device)
            state["exp_avg_sq"] = state["exp_avg_sq"].to(parameter.device)
            step_device = parameter.device if optimizer.defaults.get("fused") else "cpu"
            state["step"] = state["step"].to(step_device)
            optimizer.state[parameter] = state
    return numbers
