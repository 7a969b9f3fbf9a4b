"""Which cells a submission takes, and why it leaves the others; the same for every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smc_bench.dispatch.backend import CellState, Status, Submission
from smc_bench.store.record import TRANSIENT
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.cell import Cell


@dataclass
class Choice:
    """Which cells are to be submitted, and why the others are not."""

    needed: list[Cell] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)

    def submission(self, place: str, before: Status) -> Submission:
        """All needed cells as taken by one place."""
        taken = {cell.id: place for cell in self.needed}
        return Submission(taken, dict(self.failed), dict(self.blocked), before=before)


def choose(cells: Mapping[str, Cell], states: Status, again: set[str]) -> Choice:
    """Cells that are neither done, nor in a queue, nor failed for good, nor behind such a one.

    Args:
        cells: By id, teachers before their students.
        states: Where each stands.
        again: Failed cells that may be tried again.
    """
    choice = Choice()
    for key, cell in cells.items():
        state = states[key]
        if state.word == "done" or state.in_queue:
            continue
        if state.word == "damaged" or (state.word == "failed" and key not in again):
            choice.failed[key] = state.why
        elif cell.teacher in {*choice.failed, *choice.blocked}:
            choice.blocked[key] = f"its teacher {cell.teacher} failed"
        else:
            choice.needed.append(cell)
    return choice


def choose_from_disk(
    store: Store, cells: Mapping[str, Cell], *, retry: bool = False, force: bool = False
) -> tuple[Choice, Status]:
    """What a submission takes where nobody but the cells' folders knows of them.

    Args:
        store: Results.
        cells: By id, teachers before their students.
        retry: Whether failed cells are tried again.
        force: Whether finished cells are run again; their records are removed.

    Returns:
        The choice, and where the cells stand; :func:`prepare` makes the folders of chosen ones.
    """
    states = states_on_disk(store, cells)
    if force:
        forget(store, cells, states)
    return choose(cells, states, to_try_again(store, cells, states, retry=retry)), states


def prepare(store: Store, cell: Cell, reused: int | None = None) -> CellFolder:
    """Make the folder that a worker reads its cell from.

    Args:
        store: Results.
        cell: The cell.
        reused: Steps that it can take from a cell that shares its prefix (0: it makes them for
            others), or None where cells run so that none waits for another.
    """
    folder = store.folder(cell.folder)
    folder.create(cell.model_dump(mode="json"))
    folder.note_sharing(reused)
    return folder


def states_on_disk(store: Store, cells: Mapping[str, Cell]) -> dict[str, CellState]:
    """Where cells stand, as their folders say."""
    return {key: state_on_disk(store.folder(cell.folder)) for key, cell in cells.items()}


def state_on_disk(folder: CellFolder) -> CellState:
    """Where a cell stands, as its folder says."""
    word = folder.state()
    if word == "damaged":
        return CellState(word, folder.damage())
    failure = folder.failure() if word == "failed" else None
    return CellState(word, f"{failure.type}: {failure.message}" if failure else "")


def forget(store: Store, cells: Mapping[str, Cell], states: dict[str, CellState]) -> None:
    """Remove the records of finished cells, so that they are run again; changes ``states``."""
    for key, state in states.items():
        if state.word in {"done", "damaged"}:
            (store.folder(cells[key].folder).path / "record.json").unlink()
            states[key] = CellState("missing")


def to_try_again(
    store: Store, cells: Mapping[str, Cell], states: Status, *, retry: bool
) -> set[str]:
    """Failed cells that are tried again: all if asked, else those that were not to blame."""
    failed: Iterable[str] = (
        key for key, state in states.items() if state.word == "failed" and not state.in_queue
    )
    if retry:
        return set(failed)
    failures = {key: store.folder(cells[key].folder).failure() for key in failed}
    return {key for key, found in failures.items() if found and found.type in TRANSIENT}
