"""Models on the Hub: which commit, is the copy in the Hub's cache whole, and how it comes here."""

from __future__ import annotations

import os
from pathlib import Path

from smc_bench.errors import MissingDataError, ModelError, SmcBenchError
from smc_bench.models.files import INDEX, SINGLE, has_tokenizer, index_entries, weight_files
from smc_bench.sources import hub
from smc_bench.sources.lock import Lock
from smc_bench.sources.model_ref import ModelRef
from smc_bench.sources.pins import MODEL_FILES, Pin
from smc_bench.sources.roots import Roots
from smc_bench.sources.unchanged import check_snapshot

REMEDY = (
    "Run `smc-bench fetch` where there is a network, or give the folder of a model saved in "
    "safetensors format"
)


def pin_at(ref: ModelRef, commit: str) -> Pin:
    """The pin of a commit."""
    return Pin("hub", commit, f"{ref.name}@{commit}")


def settled(ref: ModelRef, lock: Lock) -> str | None:
    """The commit that the name or the lock gives, if one does."""
    if ref.revision and hub.is_commit(ref.revision):
        return ref.revision
    return lock.get("model", str(ref))


def _repo_cache(ref: ModelRef) -> Path:
    # Restates huggingface_hub.constants.HF_HUB_CACHE, whose import costs `plan` half a second.
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    hub_cache = os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    folder = Path(os.path.expandvars(hub_cache)).expanduser()
    return folder / f"models--{ref.name.replace('/', '--')}"


def snapshot(ref: ModelRef, commit: str) -> Path:
    """Folder of a commit in the Hub's own cache."""
    return _repo_cache(ref) / "snapshots" / commit


def cached_commit(ref: ModelRef) -> str | None:
    """The commit of the complete copy in the Hub's own cache, if there is one."""
    reference = _repo_cache(ref) / "refs" / (ref.revision or "main")
    try:
        commit = reference.read_text("utf-8").strip()
    except OSError:
        return None
    return commit if hub.is_commit(commit) and is_complete(snapshot(ref, commit)) else None


def is_complete(folder: Path) -> bool:
    """Whether a copy has all of its weights."""
    try:
        return bool(weight_files(folder))
    except SmcBenchError:
        return False


def ask(ref: ModelRef, revision: str, roots: Roots) -> str:
    """Ask the Hub for the commit of a revision, and see that it has weights that may be read.

    Raises:
        MissingDataError: The Hub was asked in vain.
        ModelError: There are no weights in safetensors format.
    """
    with hub.asking(f"The commit of the model {ref.name}@{revision}", REMEDY, roots):
        from huggingface_hub import HfApi

        info = HfApi().model_info(ref.name, revision=revision)
    names = {s.rfilename for s in info.siblings or []}
    if not info.sha or not names & {SINGLE, INDEX}:
        others = sorted(n for n in names if n.endswith((".bin", ".h5", ".msgpack", ".pt", ".ckpt")))
        has = f" (it has {', '.join(others)})" if others else ""
        raise ModelError(
            f"The model {ref.name}@{revision} has no model.safetensors on the Hub{has}, and other "
            f"weight formats are not read. Name a revision that has it: {ref.name}@<revision>"
        )
    return str(info.sha)


def download(ref: ModelRef, commit: str, roots: Roots) -> Path:
    """Bring what is read of a repository: its small files, then the weights that these name.

    Raises:
        CorruptDataError: The copy is not what the Hub has.
        MissingDataError: It is not here and can't be fetched.
        ModelError: There are no weights in safetensors format.
    """
    path = snapshot(ref, commit)
    complete = is_complete(path)
    if not complete and roots.offline:
        raise missing(ref, commit)
    if not roots.offline and not (complete and has_tokenizer(path)):
        with hub.asking(f"The model {ref.name} (commit {commit})", REMEDY, roots):
            path = _fetch(ref, commit, [p for p in MODEL_FILES if not p.endswith(".safetensors")])
            # Of several sets of weights in a repository only the one that will be read is fetched.
            names = {SINGLE}
            if (path / INDEX).is_file():
                names |= set(index_entries(path / INDEX).values())
            path = _fetch(ref, commit, sorted(names))
            weight_files(path)
    check_snapshot(path, roots.cache)
    return path


def _fetch(ref: ModelRef, commit: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    # Patterns of the Hub match across folders; what lies in folders is never read.
    return Path(
        snapshot_download(
            ref.name, revision=commit, allow_patterns=patterns, ignore_patterns=["*/*"]
        )
    )


def missing(ref: ModelRef, commit: str | None) -> MissingDataError:
    """The error of a model that is not here while the network is off."""
    place = snapshot(ref, commit) if commit else _repo_cache(ref)
    return MissingDataError(
        f"The model {ref} was not found: no complete copy at {place} (the Hub's cache, moved by "
        f"HF_HOME), and the network is off (--offline or HF_HUB_OFFLINE). {REMEDY}"
    )
