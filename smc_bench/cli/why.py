"""``smc-bench why``: why a cell is reused or would run again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import click

from smc_bench.cli import complete
from smc_bench.cli.common import Session, fail, reading_command, say
from smc_bench.cli.memory import MemoryBook, describe
from smc_bench.cli.output import echo
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.reading import read_cell
from smc_bench.suite.cell import Cell, difference


@click.command("why")
@partial(reading_command, then_id=True)
@click.argument("cell_id", metavar="ID", required=False, shell_complete=complete.ids)
def command(session: Session, cell_id: str) -> None:
    """Compare a cell of a suite with the nearest stored cell of the same task."""
    plan = session.plan()
    cells = [c for key, c in plan.cells.items() if key.startswith(cell_id)]
    if len(cells) != 1:
        fail(f"{len(cells)} cells of {session.suite} have an id that starts with {cell_id!r}")
    cell = cells[0]
    folder = session.store.folder(cell.folder)
    look = folder.look()
    echo(f"{cell.id} {cell.slug}: {look.state}")
    if look.damage:
        echo(look.damage)
        return
    if look.record is not None:
        echo(f"reused: {folder.path} has a record with the same identity")
        book = MemoryBook(session, plan, {cell.id: look.record})
        if used := book.used(cell):
            echo(f"memory: {describe(used, book.predicted(cell))}")
        return
    places = (root / "cells" / cell.task.name for root in session.store.roots)
    stored = _stored(path for place in places for path in place.glob("*/cell.json"))
    near = sorted(
        (len(difference(cell, other)), other.id, other) for other in stored if other.id != cell.id
    )
    if not near:
        echo("nothing of this task is stored yet: it will run")
        return
    echo(f"nearest stored cell: {near[0][1]}; it differs in")
    for key, (ours, theirs) in difference(cell, near[0][2]).items():
        echo(f"  {key}: {ours!r} here, {theirs!r} there")


def _stored(paths: Iterable[Path]) -> list[Cell]:
    """The cells that can be read; what is wrong with the others is said."""
    found = []
    for path in sorted(paths):
        try:
            found.append(read_cell(read_json(path), path))
        except StoreError as error:
            say(f"left out: {error}")
    return found
