"""Which suite a reading verb means: the run that the results hold, else a file.

A name, the id of a run, or nothing means a run as the results have it, whatever became of the
suite's file. A path means the file as it is now, with the flags and the pins of its newest run.
Flags on the command line choose among runs; where no run had them, the file is read with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from smc_bench.errors import SmcBenchError, StoreError, SuiteError
from smc_bench.plugins import load_plugins
from smc_bench.sources import Roots
from smc_bench.store.runs import Place, StoredRun, runs
from smc_bench.suite.load import PLAIN, load_suite
from smc_bench.suite.overrides import parse_overrides
from smc_bench.suite.shipped import suite_path
from smc_bench.suite.stored import StoredSuite, public
from smc_bench.suite.yaml_file import nearest, read_yaml

_RUN_ID = re.compile(r"[0-9a-f]{6,12}")


@dataclass(frozen=True)
class Asked:
    """What a command line says of a suite.

    Attributes:
        suite: A name, a path, a run's id, or None for the newest run.
        profile: ``--profile``, if given.
        settings: Every ``--set``.
        data_root: ``--data-root``, if given.
        results: Results folders.
        cache: ``--cache``, if given.
    """

    suite: str | None
    profile: str | None
    settings: tuple[str, ...]
    data_root: Path | None
    results: tuple[Path, ...]
    cache: Path | None = None

    def agrees(self, stored: StoredSuite, place: Place) -> bool:
        """Whether a run had the flags that are given."""
        root = None if self.data_root is None else Roots.from_environment(self.data_root).data
        settings = tuple(map(public, self.settings))
        return (
            self.profile in (None, stored.profile)
            and settings in ((), stored.origin.settings)
            and root in (None, place.data_root)
        )

    def leaves_open(self, stored: StoredSuite) -> bool:
        """Whether a run had flags that are not given here, which its reader should know."""
        usual = (stored.suite.get("default_profile"), PLAIN)
        return (
            self.suite is None
            or tuple(map(public, self.settings)) != stored.origin.settings
            or (self.profile is None and stored.profile not in usual)
        )

    @property
    def flags(self) -> str:
        """The flags that are given, as the command line has them."""
        words = [f"--profile {self.profile}"] if self.profile else []
        words += [f"--set {text}" for text in self.settings]
        return " ".join([*words, *([f"--data-root {self.data_root}"] if self.data_root else [])])


@dataclass(frozen=True)
class Found:
    """What is meant.

    Attributes:
        path: The suite's file; of a stored run, where it lay.
        stored: The run whose flags and pins are used, if there is one.
        whole: Whether the run's suite is used as well, and the file is not looked at.
        run: The run's file.
        place: Where its inputs lay on this machine, as far as that is known.
    """

    path: Path
    stored: StoredSuite | None = None
    whole: bool = False
    run: StoredRun | None = None
    place: Place = field(default_factory=Place)


def find(asked: Asked) -> Found:
    """What a reading verb works on.

    Raises:
        SuiteError: There is no such suite, or nothing was run yet.
        StoreError: The newest run that was asked for is damaged.
    """
    known = runs(*asked.results)
    if asked.suite is None:
        return _newest(asked, known)
    path = Path(asked.suite)
    if not _is_there(path):
        chosen = [run for run in known if _is_named(run, asked.suite)]
        found = _first(asked, chosen)
        if found is not None:
            return found
        path = _file_of(asked, chosen)
    name = str(read_yaml(path).data.get("name")) if known else ""
    try:
        found = _first(asked, [run for run in known if run.suite == name])
    except StoreError:  # the file says what the damaged one would have
        found = None
    return replace(found, path=path, whole=False) if found else Found(path)


def word(asked: Asked, found: Found) -> str:
    """What has to be said of the choice; empty where it is what anyone would expect."""
    if found.stored is None or found.run is None:
        return ""
    said = []
    if asked.leaves_open(found.stored):
        root = found.place.data_root
        flags = found.stored.flags + (f" --data-root {root}" if root else "")
        said.append(f"{found.stored.name} as run at {found.run.when}: {flags}")
    path = found.place.suite
    if found.whole and path and _is_newer(path, found.run) and not _is_as(path, found.stored):
        said.append(f"{path} was changed after this run: give its path to see it as it is")
    return "; ".join(said)


def _is_newer(path: Path, run: StoredRun) -> bool:
    try:
        return path.stat().st_mtime > run.seconds
    except OSError:
        return False


def _is_as(path: Path, stored: StoredSuite) -> bool:
    """Whether a file that is newer says the same: a clone and a wheel have the times of today."""
    try:
        settings = parse_overrides(stored.origin.settings)
        return stored.is_of(load_suite(path, stored.profile, settings))
    except SmcBenchError:
        return False


def _newest(asked: Asked, known: list[StoredRun]) -> Found:
    found = _first(asked, known)
    if found is not None:
        return found
    where = ", ".join(map(str, asked.results))
    if known:
        raise SuiteError(f"{where}: no run here had {asked.flags}; {_listed(known)}")
    if not any(folder.is_dir() for folder in asked.results):
        named = all(folder.is_absolute() for folder in asked.results)
        here = "" if named else f" in {Path.cwd()}"
        raise SuiteError(
            f"{where}: there is no such results folder{here}: give another one with --results, or "
            "set SMC_BENCH_RESULTS"
        )
    raise SuiteError(
        f"{where}: no run of a suite is known here: name a suite, or another folder with --results"
    )


def _first(asked: Asked, known: Iterable[StoredRun]) -> Found | None:
    for run in known:
        if asked.profile in (None, run.profile):
            place = Place.of(run, Roots.from_environment(None, asked.cache).cache)
            stored = _read(run, place)
            if asked.agrees(stored, place):
                path = place.suite or Path(stored.origin.file)
                return Found(path, stored, True, run, place)
    return None


def _read(run: StoredRun, place: Place) -> StoredSuite:
    """A run, with the plug-ins that it had on this machine if it can't be read without them."""
    try:
        stored = run.read()
        if stored.complete or not place.include:
            return stored
    except StoreError:
        if not place.include:
            raise
    load_plugins(path for path in place.include if path.is_file())
    return run.read()


def _file_of(asked: Asked, chosen: list[StoredRun]) -> Path:
    """The file of a name that no run fits; if there is none, what was run is said instead."""
    assert asked.suite is not None
    try:
        return suite_path(asked.suite)
    except SmcBenchError as error:
        if chosen:
            raise SuiteError(
                f"{asked.suite}: no run had {asked.flags}; {_listed(chosen)}"
            ) from None
        known = sorted({run.suite for run in runs(*asked.results)})
        near = nearest(asked.suite, known) if known else ""
        if near.startswith("; did you mean"):
            raise SuiteError(f"{asked.suite}: no such suite{near}") from None
        raise error from None


def _listed(known: list[StoredRun]) -> str:
    shown = [f"{run.suite} {_flags(run)} (id {run.id})" for run in known[:3]]
    return f"known: {'; '.join(shown)}{' and others' * (len(known) > 3)}"


def _flags(run: StoredRun) -> str:
    try:
        return run.read().flags
    except StoreError:  # of a plug-in, perhaps; its name says this much
        return f"--profile {run.profile}"


def _is_named(run: StoredRun, text: str) -> bool:
    if text in (run.suite, f"{run.suite}.{run.profile}"):
        return True
    return _RUN_ID.fullmatch(text) is not None and run.id.startswith(text)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
