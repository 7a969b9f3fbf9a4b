"""How long the pool takes for cells in a given order: its rules as arithmetic, no processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from smc_bench.dispatch.local.capacity import Machine, fits, share
from smc_bench.suite.cell import Cell

Seconds = Callable[[Cell, int], float]
"""What a cell takes with so many threads."""


@dataclass(frozen=True)
class Begun:
    """A cell that runs already: its threads, and the seconds that it still needs."""

    cell: Cell
    threads: int
    left: float


def makespan(
    order: Sequence[Cell], machine: Machine, seconds: Seconds, begun: Iterable[Begun] = ()
) -> float:
    """Seconds until the last cell is done, every one starting as :class:`LocalPool` starts it.

    Args:
        order: Cells that have not started, in running order. A teacher that is neither here nor
            among the begun ones is done.
        machine: Jobs and cores.
        seconds: What each takes.
        begun: Cells that run at the start.
    """
    clock, waiting = 0.0, list(order)
    running = [(one.left, one.threads, one.cell.id) for one in begun]
    undone = {cell.id for cell in waiting} | {key for _, _, key in running}
    while waiting or running:
        for cell, threads in _starting(waiting, running, undone, machine):
            waiting.remove(cell)
            running.append((clock + seconds(cell, threads), threads, cell.id))
        if not running:
            raise ValueError("cells wait for each other")
        first = min(running)
        running.remove(first)
        undone.remove(first[2])
        clock = first[0]
    return clock


def _starting(
    waiting: list[Cell], running: list[tuple[float, int, str]], undone: set[str], machine: Machine
) -> list[tuple[Cell, int]]:
    room = machine.jobs - len(running)
    ready = (cell for cell in waiting if cell.teacher not in undone)
    found = list(islice(ready, max(0, room)))
    taken, chosen = sum(threads for _, threads, _ in running), []
    for cell in found:
        threads = share(machine.cores, machine.jobs, len(running), len(found))
        if not machine.gpus and not fits(machine.cores, taken, threads):
            break
        taken += threads
        chosen.append((cell, threads))
    return chosen
