"""Where cells run: the protocol of a backend, and what passes between one and its caller.

A backend is handed cells and brings them to a record or a typed failure. It never returns results:
the cell's folder is the only channel. This machine (:mod:`smc_bench.dispatch.local.pool`) and SLURM
(:mod:`smc_bench.dispatch.slurm.backend`) are two of them. A third one is a file that registers a
class by :func:`backend`, for ``run --backend NAME``. Whatever it runs on, it can take what is to be
run from :func:`smc_bench.dispatch.choice.choose_from_disk`, start workers by
:func:`smc_bench.dispatch.worker.command.start_worker`, and settle how they ended by
:func:`smc_bench.dispatch.failures.settle_end`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from smc_bench.dispatch.worker.command import WorkerSpec
from smc_bench.errors import SmcBenchError
from smc_bench.store.record import Failure
from smc_bench.suite.cell import Cell

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellState:
    """Where one cell stands.

    Attributes:
        word: ``done``, ``damaged`` (its record can't be believed), ``running``, ``pending``,
            ``failed``, ``blocked`` (its teacher failed), ``lost`` (it was submitted and the queue
            does not have it any more), ``interrupted`` (begun, and nobody goes on) or ``missing``.
        why: Reason, failure or place, for people.
        job: The job of a queue that it waits or runs in.
        failure: What the cell's failure file should say, where only the queue knows it.
    """

    word: str
    why: str = ""
    job: str | None = None
    failure: Failure | None = None

    @property
    def in_queue(self) -> bool:
        """Whether a job that still runs, or will, has the cell."""
        return self.job is not None


Status = Mapping[str, CellState]
"""Where cells stand, by id."""

Look = Callable[[Status], None]
"""Is shown where cells stand, now and then; what it raises is the backend's to survive."""


@dataclass
class Submission:
    """What one submission did.

    Attributes:
        submitted: Where each cell went that was taken now: a job's id, or a place.
        failed: Cells that failed for good, with the reason.
        blocked: Cells whose teacher failed.
        refused: What the queue said when it refused some.
        held_back: Jobs that a limit kept out; the next run submits them.
        arrays: Calls that it took.
        before: Where the cells stood before.
        reused: Steps that cells can take from another one that shares their prefix.
    """

    submitted: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    held_back: int = 0
    arrays: int = 0
    before: Status = field(default_factory=dict)
    reused: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Outcome:
    """How cells have ended when nobody goes on with any.

    Attributes:
        done: Cells with a record.
        failed: Cells that failed, with the reason.
        blocked: Cells that were not run, with the reason.
        left: Cells that are neither, with the reason: lost, interrupted or never taken.
        signal: Number of the signal that ended the run, or 0.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    signal: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether the run was told to stop."""
        return self.signal != 0

    @classmethod
    def of(cls, status: Status) -> Outcome:
        """The outcome that states amount to."""
        outcome = cls()
        for key, state in status.items():
            if state.word == "done":
                outcome.done.append(key)
            elif state.word in {"failed", "damaged"}:
                outcome.failed[key] = state.why
            elif state.word == "blocked":
                outcome.blocked[key] = state.why
            else:
                outcome.left[key] = f"{state.word}{f': {state.why}' if state.why else ''}"
        return outcome


class Careful:
    """Shows where the cells stand; a mistake in the display must not cost those that run."""

    def __init__(self, look: Look) -> None:
        """Nothing is shown yet; ``look`` is called until it fails once."""
        self._look: Look | None = look

    def __call__(self, status: Status) -> None:
        """Show it."""
        if self._look is None:
            return
        try:
            self._look(status)
        except Exception as error:
            self._look = None
            _log.warning("progress is not shown any more: %r", error)


class Backend(Protocol):
    """Somewhere that cells run. Cells come by id, teachers before their students.

    Attributes:
        outlives: Whether cells go on when the command that submitted them ends.
    """

    outlives: bool

    def submit(
        self, cells: Mapping[str, Cell], *, retry: bool = False, force: bool = False
    ) -> Submission:
        """Take what is neither done, nor failed for good, nor taken already.

        Args:
            cells: By id.
            retry: Whether failed cells are tried again; those that are not to blame always are.
            force: Whether finished cells are run again.
        """

    def status(self, cells: Mapping[str, Cell]) -> Status:
        """Where cells stand."""

    def cancel(self, cells: Mapping[str, Cell]) -> int:
        """Give cells up; those that run save first. How many jobs or cells were given up."""

    def wait(self, cells: Mapping[str, Cell], look: Look = lambda status: None) -> Outcome:
        """Return when nobody goes on with any of the cells; a backend may run them in here."""


Factory = Callable[[WorkerSpec], Backend]
BACKENDS: dict[str, Factory] = {}
"""Backends of plug-ins, by the name that ``run --backend`` gives."""


def backend(name: str) -> Callable[[Factory], Factory]:
    """Register a class, or a function, that makes a backend from the spec of its workers.

    Args:
        name: For ``run --backend NAME``.

    Raises:
        SmcBenchError: If another one has the name.
    """

    def register(make: Factory) -> Factory:
        if name in {*BACKENDS, "local", "slurm"}:
            raise SmcBenchError(f"there is a backend {name!r} already")
        BACKENDS[name] = make
        return make

    return register
