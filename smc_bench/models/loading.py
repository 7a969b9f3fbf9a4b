"""What transformers said of a load, judged: nothing but a new head may be missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from smc_bench.errors import ModelError
from smc_bench.models.components import base_prefix, body_prefixes, pooler_prefixes
from smc_bench.models.files import COUNTERS, StoredTensor, stored_tensors, weight_files

# Names of before, which transformers translates.
_RENAMED = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


@dataclass(frozen=True)
class Loaded:
    """Which tensors of a model came from where.

    Attributes:
        head: Names of the tensors outside the base model.
        stored_head: Those of them that the folder holds too, in the right shape or not.
    """

    head: tuple[str, ...]
    stored_head: tuple[str, ...]


def judge(
    model: Any, info: Mapping[str, Any], folder: Path, *, finished: bool, writes: bool = False
) -> Loaded:
    """See that a model is the one that its folder holds.

    The embeddings, the encoder and (where the folder has one) the pooler must come from the folder
    in their right shapes, and nothing of embeddings or encoder may be left over there.

    Args:
        model: As ``from_pretrained(..., ignore_mismatched_sizes=True)`` made it.
        info: Its loading info.
        folder: Where it came from.
        finished: Whether the head must be there too, as in the weights of a finished cell.
        writes: Whether the head is a language model's, which is never new.

    Raises:
        ModelError: Naming file and tensor.
    """
    where = _named(folder)
    errors = [*info.get("error_msgs", ()), *map(str, info.get("conversion_errors", ()))]
    if errors:
        raise ModelError(f"{where} can't be loaded: {errors[0]}")
    base, body = base_prefix(model), body_prefixes(model)
    _check_once(folder, base)
    names = list(model.state_dict())
    missing = set(info["missing_keys"])
    wrong = {name: (tuple(old), tuple(new)) for name, old, new in info["mismatched_keys"]}
    # Where there is no base model, what is not of embeddings or blocks is the head.
    head = tuple(name for name in names if not name.startswith(base or body))
    for name, (old, new) in sorted(wrong.items()):
        if finished or name.startswith(base):
            raise ModelError(
                f"{where}: {name} has the shape {list(old)}, but config.json makes it {list(new)}: "
                "config.json and weights are of different models; copy both from one place"
            )
    inside = [n for n in names if n not in head and not n.startswith(pooler_prefixes(model))]
    if not inside:
        raise ModelError(f"{where}: {type(model).__name__} has no base model at {base!r}")
    _check_writes(where, [name for name in head if name in missing or name in wrong], writes)
    needed = names if finished else inside
    lacking = [name for name in needed if name in missing]
    if lacking:
        raise _lacking(where, lacking, needed, info["unexpected_keys"], base)
    _check_pooler(where, [n for n in names if n not in head], missing)
    _check_left_over(where, info["unexpected_keys"], base, body)
    return Loaded(head, tuple(n for n in head if n not in missing))


def _check_writes(where: str, new: list[str], writes: bool) -> None:
    if writes and new:
        raise ModelError(
            f"{where}: it holds no head of a language model ({new[0]} is missing or of another "
            "shape), which would be made of random numbers: give the folder of the whole language "
            "model (such as GPT2LMHeadModel), not of its base model"
        )


def check_finite(model: Any, folder: Path) -> None:
    """Fail if a weight is infinite or not a number.

    Raises:
        ModelError: Naming the tensor.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{_named(folder)}: {count} of the {tensor.numel()} values of {name} are infinite "
                "or not a number: the model is damaged or diverged when it was trained"
            )


def _check_once(folder: Path, base: str) -> None:
    """A parameter has one tensor: of two, which one is loaded would be an accident."""
    seen: dict[str, StoredTensor] = {}
    for tensor in stored_tensors(folder):
        own = tensor.name.removeprefix(base)
        for old, new in _RENAMED:
            own = own.removesuffix(old) + new if own.endswith(old) else own
        first = seen.setdefault(own, tensor)
        if first is not tensor and not own.endswith(COUNTERS):
            raise ModelError(
                f"{tensor.file}: {tensor.name} and {first.name} (in {first.file.name}) are both "
                "for one parameter of the model: keep the one that is meant"
            )


def _named(folder: Path) -> str:
    files = weight_files(folder)
    return str(files[0] if len(files) == 1 else folder)


def _lacking(
    where: str, lacking: list[str], needed: list[str], unexpected: Iterable[str], base: str
) -> ModelError:
    prefix = _other_prefix(lacking, sorted(unexpected), base)
    if prefix:
        return ModelError(
            f"{where}: the names of its tensors begin with {prefix!r} (such as "
            f"{prefix}{lacking[0].removeprefix(base)}), so {len(lacking)} of the {len(needed)} "
            f"tensors of embeddings and encoder are not found: save the model itself with "
            "save_pretrained, not what is wrapped around it, or rename the tensors"
        )
    return ModelError(
        f"{where}: {len(lacking)} of the {len(needed)} tensors that config.json asks for are not "
        f"there, the first is {lacking[0]}: the file holds only a part of the model, or another "
        "model; only a new head may be missing"
    )


def _other_prefix(lacking: list[str], unexpected: list[str], base: str) -> str | None:
    for name in lacking:
        bare = name.removeprefix(base)
        for other in unexpected:
            if other.endswith(f".{bare}"):
                return other.removesuffix(bare)
    return None


def _check_pooler(where: str, names: list[str], missing: set[str]) -> None:
    """A layer of the base model is in the folder as a whole, or not at all."""
    owners: dict[str, set[bool]] = {}
    for name in names:
        owners.setdefault(name.rpartition(".")[0], set()).add(name in missing)
    for owner, kinds in owners.items():
        if len(kinds) > 1:
            lost = next(n for n in names if n.startswith(f"{owner}.") and n in missing)
            raise ModelError(f"{where}: {lost} is not there, though the rest of {owner} is")


def _check_left_over(
    where: str, unexpected: Iterable[str], base: str, body: tuple[str, ...]
) -> None:
    for name in sorted(unexpected):
        full = name if name.startswith(base) else base + name
        if full.startswith(body) and not name.endswith(COUNTERS):
            raise ModelError(
                f"{where}: {name} has no place in the model that config.json describes (fewer "
                "layers, or another architecture): copy config.json and weights from one place"
            )
