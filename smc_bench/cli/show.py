"""``smc-bench show``: one cell, and all that is known of it."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli.common import fail, json_option, print_json, results_option
from smc_bench.cli.output import echo
from smc_bench.store.store import Store


@click.command("show")
@click.argument("cell_id")
@results_option
@json_option
def command(cell_id: str, results: Path, as_json: bool) -> None:
    """Show a cell: settings, scores, sparsity, training, origin, files, attempts."""
    from smc_bench.report import one_cell

    folder = Store(results).by_id(cell_id)
    if folder is None:
        fail(f"no cell below {results / 'cells'} has an id that starts with {cell_id!r} alone")
    known = one_cell.known(folder)
    if as_json:
        print_json(known)
    else:
        echo(one_cell.text(known))
    if known["damage"]:
        fail(known["damage"])
