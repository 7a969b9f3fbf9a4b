"""Load a backbone with a task head and its tokenizer, from a local folder of safetensors only."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

from smc_bench.errors import ModelError
from smc_bench.models.architecture import ARCHITECTURES, architecture
from smc_bench.models.conv1d import use_linear
from smc_bench.models.files import check_folder, has_tokenizer, read_object
from smc_bench.models.heads import model_class, outputs_of
from smc_bench.models.loading import check_finite, judge
from smc_bench.models.reshape import load_shaped
from smc_bench.models.shapes import Shapes, buildable, read_shapes
from smc_bench.tasks.base import Head
from smc_bench.tasks.pairs import separate_pairs

_log = logging.getLogger(__name__)


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model folder; for a decoder with padding and a separator of pairs.

    Raises:
        ModelError: If the folder has none, or it has no token to separate the texts of a pair.
    """
    if not has_tokenizer(folder):
        raise ModelError(
            f"{folder}: it has no tokenizer (tokenizer.json, vocab.txt, vocab.json with "
            "merges.txt, or a .model file): copy the files of the tokenizer that the model was "
            "trained with"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    # The tokenizers library raises plain exceptions, transformers any kind.
    except Exception as error:
        raise ModelError(f"{folder}: no usable tokenizer: {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: only fast tokenizers are supported (tokenizer.json)")
    row = ARCHITECTURES.get(str(read_object(folder / "config.json").get("model_type")))
    if row is not None and row.kind == "decoder":
        # Padding is never read: masked, and behind the last token, which the head reads.
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        separate_pairs(tokenizer, folder)
    return tokenizer


def load_config(folder: Path) -> Any:
    """The configuration of a model folder.

    Raises:
        ModelError: If there is none that can be used, or its architecture is not supported.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # what a wrong value raises is the configuration class's own choice
        raise ModelError(f"{folder}: no usable config.json: {_first_line(error)}") from error
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{folder}: architecture {config.model_type!r} is not one of {known}")
    return config


def load_model(
    folder: Path,
    head: Head,
    labels: int,
    *,
    seed: int,
    dropout: float | None = None,
    names: Sequence[str] = (),
    finished: bool = False,
) -> Any:
    """A float32 model with a task head.

    The head is new, and depends on ``seed`` alone: one that the folder holds was made for another
    task or by another training, and is left out (standard error says so). Everything else must be
    in the folder; so must the head of a language model, which is never new.

    Args:
        folder: Local folder with ``config.json`` and safetensors weights.
        head: Kind of head.
        labels: Outputs of a classification head (1 for regression).
        seed: Seeds the initial weights of the head.
        dropout: Replaces every dropout rate of the configuration.
        names: Names of the labels, written into the model's configuration.
        finished: Take the head from the folder, which must hold it: weights of a finished cell.

    Raises:
        MissingDataError: If ``config.json`` or a shard is not there.
        ModelError: If the folder holds no safetensors, damaged or other weights than its
            configuration says, or an architecture that is not supported.
    """
    model, notes = load_with_notes(
        folder, head, labels, seed=seed, dropout=dropout, names=names, finished=finished
    )
    for note in notes:
        _log.warning("%s", note)
    return model


def load_with_notes(
    folder: Path,
    head: Head,
    labels: int,
    *,
    seed: int,
    dropout: float | None = None,
    names: Sequence[str] = (),
    finished: bool = False,
) -> tuple[Any, list[str]]:
    """A model as :func:`load_model` makes it, and what is worth a word about it.

    Raises:
        MissingDataError: See :func:`load_model`.
        ModelError: See :func:`load_model`.
    """
    check_folder(folder)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    shapes = _shapes(folder)
    config = load_config(folder) if shapes is None else buildable(folder)
    if architecture(config).kind == "decoder" and config.pad_token_id is None:
        # Only for users of the saved folder: transformers' own head finds the last token by it.
        config.pad_token_id = load_tokenizer(folder).pad_token_id
    former = _set_labels(config, head, labels, names)
    if dropout is not None:
        for name in architecture(config).dropout:
            setattr(config, name, dropout)
    torch.manual_seed(seed)
    try:
        model, info = _from_folder(folder, head, config, shapes)
    except (MemoryError, ModelError):
        raise
    except Exception as error:  # safetensors and torch have errors of their own
        raise ModelError(f"{folder}: can't be loaded: {_first_line(error)}") from error
    notes: list[str] = []
    writes = head == "language_modelling"
    loaded = judge(model, info, folder, finished=finished, writes=writes)
    if loaded.stored_head and not finished and not writes:
        _renew(model, loaded.head, head, config, seed)
        notes.append(_unused(loaded.stored_head, former))
    use_linear(model)
    check_finite(model, folder)
    if shapes is not None:
        shapes.write(model.config)
    return model, notes


def _shapes(folder: Path) -> Shapes | None:
    """Shapes of uneven blocks, of an architecture that is supported."""
    kind = read_object(folder / "config.json").get("model_type")
    return read_shapes(folder) if kind in ARCHITECTURES else None


def _from_folder(folder: Path, head: Head, config: Any, shapes: Shapes | None) -> tuple[Any, Any]:
    """A model, and what transformers says (or would say) of the load."""
    if shapes is not None:
        model = model_class(config, head).from_config(config, dtype=torch.float32)
        return model, load_shaped(model, shapes, folder)
    return model_class(config, head).from_pretrained(  # type: ignore[no-any-return]
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )


def _set_labels(config: Any, head: Head, labels: int, names: Sequence[str]) -> list[str]:
    """Write the task's labels over those of a former task, which are returned."""
    former = [str(name) for name in (config.id2label or {}).values()]
    # Spans have a start and an end; an encoder's multiple choice has one output whatever stands.
    count = outputs_of(config, head, labels)
    named = list(names) if len(names) == count else [f"LABEL_{i}" for i in range(count)]
    config.id2label = dict(enumerate(named))
    config.label2id = {name: i for i, name in enumerate(named)}
    for key in ("problem_type", "finetuning_task", "task_specific_params"):
        if getattr(config, key, None) is not None:
            setattr(config, key, None)
    return former


def _renew(model: Any, names: Sequence[str], head: Head, config: Any, seed: int) -> None:
    torch.manual_seed(seed)
    fresh = model_class(config, head).from_config(config, dtype=torch.float32).state_dict()
    own = model.state_dict()
    with torch.no_grad():
        for name in names:
            own[name].copy_(fresh[name])


def _unused(stored: Sequence[str], former: Sequence[str]) -> str:
    return (
        f"the model's folder holds a head ({', '.join(stored)}; labels {', '.join(former)}): it is "
        "not used, the task gets a new one"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def quiet_tokenizers() -> None:
    """Keep the tokenizers library from starting threads of its own beside torch's."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
