"""What one invocation works with: a suite, or a run that the results hold, and their plan."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smc_bench.cli.find import Asked, Found, find, word
from smc_bench.cli.output import say
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.errors import StoreError, SuiteError
from smc_bench.sources import Lock, Roots, mirror
from smc_bench.store.joined import store_of
from smc_bench.store.runs import Place, remember
from smc_bench.store.store import Store
from smc_bench.suite.claims import Claim, claims_about, load_claims
from smc_bench.suite.expand import Pins, Plan, expand
from smc_bench.suite.load import LoadedSuite, load_suite
from smc_bench.suite.only import narrowed
from smc_bench.suite.overrides import parse_overrides
from smc_bench.suite.stored import KeptPins, Origin, StoredSuite, public


@dataclass(frozen=True)
class Session:
    """What one invocation works with.

    Attributes:
        suite: The suite's file; of a stored run, where it lay.
        profile: As given.
        settings: Every ``--set``.
        roots: Where data and caches are.
        store: Results.
        include: Files of plug-ins.
        found: The stored run that a reading verb goes by.
        only: Which cells a reading verb is about.
    """

    suite: Path
    profile: str | None
    settings: tuple[str, ...]
    roots: Roots
    store: Store
    include: tuple[Path, ...] = ()
    found: Found | None = None
    only: tuple[str, ...] = ()

    def load(self, *, tuned: bool = True) -> LoadedSuite:
        """The suite under the profile asked for, or as it was run."""
        stored = self.found.stored if self.found else None
        if self.found and self.found.whole and stored:
            return stored.load()
        if stored is not None:
            profile = self.profile or stored.profile
            with suppress(SuiteError):  # the file has changed too much for the run's flags
                overrides = parse_overrides(self.settings or stored.origin.settings)
                return load_suite(self.suite, profile, overrides, tuned=tuned)
        overrides = parse_overrides(self.settings)
        return load_suite(self.suite, self.profile, overrides, tuned=tuned)

    def lock(self) -> Lock:
        """The lock of this results folder."""
        return Lock.load(self.store.root / "lock.json")

    def plan(
        self, *, network: bool = False, limit: int | None = None, measure: bool = False
    ) -> Plan:
        """All cells; with ``network`` what is not pinned yet is resolved and locked.

        With ``measure`` an automatic precision is chosen, once for the results folder. Of a stored
        run the pins are those that it had.
        """
        stored = self.found.stored if self.found and not network else None
        if stored is None:
            mirror.check_root(self.roots.data)
        pins: Pins = SourcePins(self.roots, self.lock(), network=network, measure=measure)
        if stored is not None:
            pins = KeptPins(stored, None if self.found and self.found.whole else pins)
        return narrowed(expand(self.load(), pins, limit), self.only)

    def remember(self, plan: Plan) -> None:
        """Keep what is about to be run with the results, for the verbs that read them."""
        origin = Origin(
            file=self.suite.name,
            settings=tuple(map(public, self.settings)),
            include=tuple(path.name for path in self.include),
        )
        stored = StoredSuite.of(plan, claims_about(self.suite), origin)
        plugins = tuple(path.absolute() for path in self.include)
        place = Place(self.suite.absolute(), self.roots.data, plugins)
        remember(self.store.root, stored, place, self.roots.cache)

    def claims(self, path: Path | None = None) -> dict[str, Claim]:
        """Claims about the suite: those of a file, of the run, or beside the suite."""
        if self.found is None or self.found.stored is None or not self.found.whole:
            return claims_about(self.suite, path)
        return self.found.stored.claims if path is None else load_claims(path)


def reading(
    asked: Asked,
    cache: Path | None = None,
    include: tuple[Path, ...] = (),
    only: tuple[str, ...] = (),
    *,
    quiet: bool = False,
) -> Session:
    """A session for what a reading verb is asked about; says which run it goes by.

    Raises:
        SuiteError: See :func:`smc_bench.cli.find.find`.
        StoreError: See there.
    """
    found = find(asked)
    text = word(asked, found)
    if text and not quiet:
        say(text)
    roots = Roots.from_environment(asked.data_root or found.place.data_root, cache)
    store = store_of(asked.results)
    return Session(found.path, asked.profile, asked.settings, roots, store, include, found, only)


def folders(results: tuple[Path, ...]) -> tuple[Path, ...]:
    """Results folders to read.

    Raises:
        StoreError: One of several is not there.
    """
    for folder in results if len(results) > 1 else ():
        if not folder.is_dir():
            raise StoreError(f"{folder}: there is no such results folder")
    return results
