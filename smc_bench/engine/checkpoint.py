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

from smc_bench.engine.pruning.pruner import Pruner
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
    tensors = {f"model/{name}": t.contiguous() for name, t in _own_state(model).items()}
    tensors |= {f"pruner/{name}": tensor for name, tensor in pruner.state().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter, state in optimizer.state.items():
        for moment in _MOMENTS:
            tensors[f"{moment}/{names[id(parameter)]}"] = torch.as_tensor(state[moment])
    save_file({name: tensor.cpu() for name, tensor in tensors.items()}, folder / _TENSORS)
    (folder / _NUMBERS).write_text(json.dumps(numbers), encoding="utf-8")


def _own_state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a model, each once: one that is tied under its first name."""
    first = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {name: tensor for name, tensor in model.state_dict().items() if name in first}


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner
) -> dict[str, Any]:
    """Restore a state written by :func:`save_checkpoint`, in place; returns its numbers.

    Raises:
        DamagedError: The checkpoint is damaged, or of another model; names the file.
    """
    tensors, numbers = _read(folder)
    try:
        _restore(tensors, numbers, model, optimizer, pruner)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if "memory" in str(error):  # torch says so by a RuntimeError
            raise
        raise _damaged(folder / _TENSORS, error) from error
    return numbers


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and numbers of a checkpoint, as far as they can be read."""
    path = folder / _TENSORS
    try:
        tensors = load_file(path)
        path = folder / _NUMBERS
        numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        float(numbers["reached"]), int(numbers["step"]), list(numbers["events"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error
    return tensors, numbers


def _damaged(path: Path, error: Exception) -> DamagedError:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DamagedError(
        f"{path}: a damaged checkpoint ({said}); remove its folder, and with --retry the cell goes "
        "on from an older one or begins anew"
    )


def _restore(
    tensors: dict[str, Tensor],
    numbers: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    pruner: Pruner,
) -> None:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    if groups["model"].keys() != _own_state(model).keys():
        raise ValueError("it holds other tensors than the model has")
    model.load_state_dict(groups["model"], strict=False)  # lacks the other names of tied ones
    pruner.load(groups.get("pruner", {}), float(numbers["reached"]))
    for name, parameter in model.named_parameters():
        if name in groups.get("exp_avg", {}):
            state = {moment: groups[moment][name] for moment in _MOMENTS}
            state["exp_avg"] = state["exp_avg"].to(parameter.device)
            state["exp_avg_sq"] = state["exp_avg_sq"].to(parameter.device)
            step_device = parameter.device if optimizer.defaults.get("fused") else "cpu"
            state["step"] = state["step"].to(step_device)
            optimizer.state[parameter] = state
