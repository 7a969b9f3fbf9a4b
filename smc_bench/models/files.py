"""The files of a model folder, looked at without torch: which are read, and are they whole?"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_bench.errors import MissingDataError, ModelError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LFS = b"version https://git-lfs.github.com/spec/"
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
COUNTERS = (
    "position_ids",
    "token_type_ids",
    "num_batches_tracked",
    *(f".{name}.{kind}" for name in ("attn", "attention") for kind in ("bias", "masked_bias")),
    "rotary_emb.inv_freq",
)
"""Ends of names of what checkpoints hold beside weights: counters, causal masks, frequencies."""
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
_SAVE = "Save the model with save_pretrained(..., safe_serialization=True)"
_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True)
class StoredTensor:
    """One entry of a safetensors header.

    Attributes:
        file: Where it is stored.
        name: Its name in that file.
        dtype: The format's name of its type, such as ``F32``.
        shape: Its shape.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a model folder that can be used as it is.

    Raises:
        MissingDataError: ``config.json``, or a shard that the index names, is not there.
        ModelError: There are no weights in safetensors format, or the index is not valid.
    """
    if not (folder / "config.json").is_file():
        raise MissingDataError(f"{folder} is not a model folder: it has no config.json")
    single = folder / SINGLE
    if single.is_file():
        return [single]
    index = folder / INDEX
    if not index.is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLED)
        has = f" (it has {', '.join(others)})" if others else ""
        raise ModelError(
            f"{folder} has no {SINGLE}{has}; other weight formats are not read. {_SAVE}"
        )
    shards = [folder / name for name in sorted(set(index_entries(index).values()))]
    for shard in shards:
        if not shard.is_file():
            raise MissingDataError(
                f"{shard} is missing, though {INDEX} names it: copy all shards of the model"
            )
    return shards


def index_entries(index: Path) -> dict[str, str]:
    """The weight map of a safetensors index: tensor to file name.

    Raises:
        ModelError: It can't be read, or names something that is no file of this folder.
    """
    content = read_object(index)
    entries = content.get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise ModelError(f"{index} is not a valid index of safetensors shards: no weight_map")
    for tensor, name in entries.items():
        plain = isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..")
        if not plain or not name.endswith(".safetensors"):
            raise ModelError(
                f"{index} is not a valid index of safetensors shards: {tensor} is said to be in "
                f"{name!r}, which is not the name of a .safetensors file beside it"
            )
    return entries


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ModelError: It can't be read, is a git-lfs pointer, or holds something else.
    """
    refuse_pointer(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object")
    return content


def refuse_pointer(path: Path) -> None:
    """Refuse what git leaves where a large file was not fetched.

    Raises:
        ModelError: The file is a git-lfs pointer.
    """
    with path.open("rb") as file:
        pointer = file.read(len(_LFS)) == _LFS
    if pointer:
        raise ModelError(
            f"{path} is a git-lfs pointer, not the file itself: run `git lfs pull` in the "
            "model's repository, or download the file"
        )


def tensors(path: Path) -> list[StoredTensor]:
    """The header of a safetensors file, checked against the file's size.

    Raises:
        ModelError: The file is a git-lfs pointer, truncated, or not in safetensors format.
    """
    refuse_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, _LARGEST_HEADER):
            raise _no_weights(path, f"it has {size} bytes, less than its header needs")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise _no_weights(path, f"its header is not valid JSON ({error})") from None
    if not isinstance(header, dict):
        raise _no_weights(path, "its header is not an object")
    header.pop("__metadata__", None)
    found, end = [], 0
    for name, entry in header.items():
        try:
            first, last = (int(at) for at in entry["data_offsets"])
            tensor = StoredTensor(path, name, str(entry["dtype"]), tuple(map(int, entry["shape"])))
        except (KeyError, TypeError, ValueError):
            raise _no_weights(path, f"its header says nothing usable of {name}") from None
        found.append(tensor)
        end = max(end, first, last)
    if 8 + length + end != size:
        raise _no_weights(
            path, f"it has {size} bytes, but its header speaks of {8 + length + end}: copy it again"
        )
    return found


def stored_tensors(folder: Path) -> list[StoredTensor]:
    """All tensors of a model folder, file by file.

    Raises:
        MissingDataError: See :func:`weight_files`.
        ModelError: See :func:`weight_files` and :func:`tensors`.
    """
    return [tensor for shard in weight_files(folder) for tensor in tensors(shard)]


TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
"""What a fast tokenizer of a model's folder is made of."""


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a vocabulary; without one, transformers invents an empty one."""
    names = {p.name for p in folder.iterdir() if p.is_file() and p.stat().st_size}
    bpe = {"vocab.json", "merges.txt"} <= names
    models = any(name.endswith(".model") for name in names)
    return bool(names & {"tokenizer.json", "vocab.txt"}) or bpe or models


def check_folder(folder: Path) -> None:
    """See that what will be read of a model folder is whole and is what it seems.

    Headers only: no tensor is read.

    Raises:
        MissingDataError: See :func:`weight_files`.
        ModelError: A file is damaged, quantised, a pointer or of another kind; names file and
            tensor.
    """
    shards = weight_files(folder)
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} holds an adapter (adapter_config.json), not a whole model: merge it into "
            "its base model (peft: merge_and_unload) and save that"
        )
    _check_config(folder / "config.json")
    for path in sorted(folder.iterdir()):
        if path.is_file():
            refuse_pointer(path)
    stored = stored_tensors(folder)
    for tensor in stored:
        if tensor.dtype not in _FLOATS and not tensor.name.endswith(COUNTERS):
            raise ModelError(
                f"{tensor.file}: {tensor.name} is of type {tensor.dtype}: quantised weights can't "
                "be trained or pruned; give the model's float weights"
            )
    if shards != [folder / SINGLE]:
        _check_index(folder / INDEX, stored)


def _check_config(path: Path) -> None:
    config = read_object(path)
    for key, what in (
        ("quantization_config", "quantised weights can't be trained or pruned"),
        ("transformers_weights", f"weights of another name than {SINGLE} are not read"),
    ):
        if config.get(key):
            raise ModelError(f"{path}: it has {key}: {what}; give the model's float weights")
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            raise ModelError(
                f"{path}: {key} is set, which makes another model of an encoder: set it to false"
            )


def _check_index(index: Path, stored: list[StoredTensor]) -> None:
    there = {tensor.name: tensor.file.name for tensor in stored}
    for name, file in index_entries(index).items():
        if there.get(name) != file:
            raise ModelError(
                f"{index} says that {name} is in {file}, but it is not: copy all files of the "
                "model from one place"
            )


def _no_weights(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is not a whole safetensors file: {why}")
