"""The suites that a results folder has seen run, kept as they were resolved.

``suites/<name>.<profile>/<time>-<id>.json``: the time (UTC) says which is the newest, the id is
made from the content. The same run once more only renews the time. Results may be given away, so
the folders of the suite's file and of data are noted in the cache instead, ``runs/<id>.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.schedules.kinds import STORED
from smc_bench.errors import FullDiskError, StoreError, disk_is_full
from smc_bench.store.files import read_json, write_json
from smc_bench.suite.stored import StoredSuite

FOLDER = "suites"

_TIME = "%Y%m%dT%H%M%S.%fZ"
_FILE = re.compile(r"(?P<time>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-(?P<id>[0-9a-f]{12})\.json")


@dataclass(frozen=True, order=True)
class StoredRun:
    """One run of a suite, by its file's name.

    Attributes:
        time: When it was last started, UTC; sorts by time.
        id: Made from what was run.
        suite: The suite's name.
        profile: The profile in force.
        path: The file.
    """

    time: str
    id: str
    suite: str
    profile: str
    path: Path

    @property
    def when(self) -> str:
        """The time as people write it."""
        return f"{self._parsed:%Y-%m-%d %H:%M} UTC"

    @property
    def seconds(self) -> float:
        """The time in seconds since 1970."""
        return self._parsed.timestamp()

    @property
    def _parsed(self) -> datetime:
        return datetime.strptime(self.time, _TIME).replace(tzinfo=UTC)

    def read(self) -> StoredSuite:
        """What was run.

        Raises:
            StoreError: The file is damaged, was changed, or is of another version.
        """
        content = read_json(self.path)
        newer = isinstance(content, dict) and content.get("format") != 1
        if not newer and _digest(content) != self.id:
            raise StoreError(
                f"{self.path}: was changed after the run, and is not used (its name says "
                f"{self.id}); give the suite's file, or run it again"
            )
        try:
            return StoredSuite.model_validate(content, context={STORED: True})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise StoreError(
                f"{self.path}: not a suite that this version reads: {where}: {first['msg']}; "
                f"{_what_helps(content)}"
            ) from None


def _what_helps(content: Any) -> str:
    """What to do about a run that can't be read: most often a plug-in of it is not loaded."""
    with suppress(LookupError, TypeError):
        files = " ".join(f"--include {name}" for name in content["origin"]["include"])
        if files:
            return f"the run had {files}: give it again"
    return "give the suite's file, or run it again"


@dataclass(frozen=True)
class Place:
    """Where a run's inputs lay on this machine, absolute.

    Attributes:
        suite: The suite's file.
        data_root: The local mirror of data sets.
        include: Files of plug-ins.
    """

    suite: Path | None = None
    data_root: Path | None = None
    include: tuple[Path, ...] = ()

    @classmethod
    def of(cls, run: StoredRun, cache: Path) -> Place:
        """What the cache knows of a run; nothing of one from another machine."""
        with suppress(StoreError, AttributeError, TypeError):
            found: dict[str, Any] = read_json(_note(run.id, cache)) or {}
            paths = (found.get("suite"), found.get("data_root"))
            suite, data_root = (None if path is None else Path(path) for path in paths)
            return cls(suite, data_root, tuple(map(Path, found.get("include") or ())))
        return cls()


def _note(run_id: str, cache: Path) -> Path:
    return cache / "runs" / f"{run_id}.json"


def remember(root: Path, stored: StoredSuite, place: Place, cache: Path) -> StoredRun:
    """Keep a suite with the results, as the newest, and in the cache where it lay.

    Raises:
        OSError: The folder can't be written.
    """
    content = stored.model_dump(mode="json")
    folder = root / FOLDER / f"{stored.name}.{stored.profile}"
    # The order of arms is that of tables, so it is part of what was run.
    digest = _digest(content)
    time = datetime.now(UTC).strftime(_TIME)
    path = folder / f"{time}-{digest}.json"
    write_json(path, content, sort_keys=False)
    for older in folder.glob(f"*-{digest}.json"):
        if older.name < path.name:
            with suppress(OSError):
                older.unlink()
    with suppress(OSError):  # only convenience
        write_json(
            _note(digest, cache),
            {
                "suite": str(place.suite),
                "data_root": place.data_root and str(place.data_root),
                "include": list(map(str, place.include)),
            },
        )
    return StoredRun(time, digest, stored.name, stored.profile, path)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def runs(*roots: Path) -> list[StoredRun]:
    """All runs that some results folders know, the newest first; no file is opened."""
    return sorted((run for root in roots for run in _of(root)), reverse=True)


def _of(root: Path) -> Iterator[StoredRun]:
    for path in (root / FOLDER).glob("*/*.json"):
        named = _FILE.fullmatch(path.name)
        # A suite's name has no dot; a profile's may.
        suite, _, profile = path.parent.name.partition(".")
        if named and suite and profile:
            yield StoredRun(named["time"], named["id"], suite, profile, path)


def bring(root: Path, source: Path) -> list[str]:
    """Copy the runs that another results folder knows; one that is there stays.

    The times stay in their names, so that the newest run of both folders is the newest.

    Args:
        root: The results folder that takes them in.
        source: Another one; a tar or a folder of small records knows none.

    Returns:
        What is wrong with those that were left out, in words.

    Raises:
        StoreError: The folder can't be written (FullDiskError: for want of room).
    """
    problems = []
    for run in _of(source):
        path = root / FOLDER / run.path.parent.name / run.path.name
        if list(path.parent.glob(f"*-{run.id}.json")):
            continue
        try:
            run.read()
        except StoreError as error:
            problems.append(str(error))
        else:
            try:
                write_json(path, read_json(run.path), sort_keys=False)
            except OSError as error:
                kind = FullDiskError if disk_is_full(error) else StoreError
                raise kind(f"{path}: can't be written: {error.strerror or error}") from None
    return problems
