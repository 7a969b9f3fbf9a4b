"""What every entry of a registry must have, said for the author of a plug-in. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from smc_bench.errors import SuiteError
from smc_bench.names import path_problem


def check_entry(what: str, name: object, version: object, source: object) -> None:
    """Refuse an entry that suites could not name, or that says nothing of its origin.

    Args:
        what: ``scorer``, ``method`` or ``schedule``.
        name: Becomes a part of folders.
        version: Counts from 1.
        source: Where it is defined.

    Raises:
        SuiteError: Says what is wrong.
    """
    if not isinstance(name, str):
        raise SuiteError(f"{what} {name!r}: the name must be text")
    problem = path_problem(name)
    if problem:
        raise SuiteError(f"{what} {name!r}: can't be a name: {problem}")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SuiteError(f"{what} {name!r}: version must be a whole number from 1 on")
    if not isinstance(source, str) or not source.strip():
        raise SuiteError(f"{what} {name!r}: source must say where it comes from")


class Named(Protocol):
    """What a registry holds: a spec that says where it comes from."""

    @property
    def name(self) -> str:
        """What suites call it."""

    @property
    def version(self) -> int:
        """Counts from 1."""

    @property
    def source(self) -> str:
        """Paper or code that defines it."""


S = TypeVar("S", bound=Named)


def add(what: str, entries: dict[str, S], spec: S) -> S:
    """Put an entry under its exact name; the same once more is nothing new.

    Raises:
        SuiteError: If another one has that name, or the entry is not complete.
    """
    check_entry(what, spec.name, spec.version, spec.source)
    if entries.setdefault(spec.name, spec) != spec:
        raise SuiteError(f"two {what}s are called {spec.name!r}: rename one of them")
    return spec


def where(what: str, name: str, code: Callable[..., Any]) -> str:
    """``module:name`` of a function or class, by which workers find it.

    Raises:
        SuiteError: If it does not stand at the top level of its file.
    """
    module, qualname = getattr(code, "__module__", None), getattr(code, "__qualname__", "")
    if not module or not qualname or "." in qualname:
        raise SuiteError(f"{what} {name!r}: {code!r} must stand at the top level of its file")
    return f"{module}:{qualname}"
